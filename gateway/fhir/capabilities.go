package fhir

import (
	"net/http"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// capabilities says what there is. https://hl7.org/fhir/R4/http.html#capabilities
func (c *call) capabilities() (answer, error) {
	type does = r4.CapabilityStatementRestResourceInteraction
	resource := func(kind r4.ResourceType, words string, codes ...r4.TypeRestfulInteraction) r4.CapabilityStatementRestResource {
		one := r4.CapabilityStatementRestResource{Type: kind, Documentation: &words}
		for _, code := range codes {
			one.Interaction = append(one.Interaction, does{Code: code})
		}
		return one
	}
	told := resource(r4.ResourceTypeCommunication, "What became of the messages that were asked for, without what they say.", r4.TypeRestfulInteractionRead, r4.TypeRestfulInteractionSearchType)
	told.SearchParam = []r4.CapabilityStatementRestResourceSearchParam{
		{Name: "subject", Type: r4.SearchParamTypeReference}, {Name: "patient", Type: r4.SearchParamTypeReference},
	}
	return answer{status: http.StatusOK, body: r4.CapabilityStatement{
		Status: r4.PublicationStatusActive, Date: "2026-10-01", Kind: r4.CapabilityStatementKindInstance, FhirVersion: r4.FHIRVersion4_0_1,
		Software:       &r4.CapabilityStatementSoftware{Name: "Heed", Version: &c.Version},
		Implementation: &r4.CapabilityStatementImplementation{Description: "Consent and communication preferences, decided before every message.", Url: ptr(c.PublicURL + "/fhir")},
		Format:         []string{contentType},
		Rest: []r4.CapabilityStatementRest{{
			Mode:     r4.RestfulCapabilityModeServer,
			Security: &r4.CapabilityStatementRestSecurity{Description: ptr("An API key as bearer token, of a role that may send or read messages.")},
			Resource: []r4.CapabilityStatementRestResource{
				resource(r4.ResourceTypeCommunicationRequest, "Becomes at most one message.", r4.TypeRestfulInteractionCreate, r4.TypeRestfulInteractionUpdate),
				resource(r4.ResourceTypeAppointment, "Becomes the reminders that the policy has.", r4.TypeRestfulInteractionCreate, r4.TypeRestfulInteractionUpdate),
				told,
			},
			Interaction: []r4.CapabilityStatementRestInteraction{{Code: r4.SystemRestfulInteractionTransaction}, {Code: r4.SystemRestfulInteractionBatch}},
		}},
	}}, nil
}
