package gateway

import (
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Campaign is one non-essential text for an audience. Who is in the audience stands in
// rows of its own.
type Campaign struct {
	ID        int64
	Name      string
	Category  string
	Template  string
	Variables map[string]string
	Channels  []channels.Channel // as a message's request has them; none: the category's
	Rate      int                // messages a second from each sender, of all replicas together; 0: no bound
	Status    CampaignStatus
	// Revision goes up with every change of the text or the audience: an approval is of
	// one revision, and ends with it.
	Revision int64
	Author   Person // who made it
	Editor   Person // who changed it last
	Approver Person
	Wording  string // digest of the text that was approved: what goes out, whatever is in force by then; "": not approved
	Created  time.Time
	Approved time.Time
	Started  time.Time
	Ended    time.Time
	People   int64     // the last position of the audience
	Hold     time.Time // no slice is claimed before this: the provider asked to wait, or was in trouble
	Trouble  int       // how often in a row
}

// Person is somebody who works here, as a key or the command line names them.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Body is what every message of the campaign says.
func (c *Campaign) Body() Body {
	return Body{Variables: c.Variables, Channels: c.Channels, Actor: c.Author.Name}
}

// CampaignStatus is where a campaign stands. Numbers stand in the database.
type CampaignStatus uint8

// The statuses of a campaign.
const (
	CampaignDraft CampaignStatus = iota
	CampaignApproved
	CampaignRunning
	CampaignPaused
	CampaignCompleted // everybody in the audience has an outcome
	CampaignCanceled
)

var campaignNames = [...]string{"draft", "approved", "running", "paused", "completed", "canceled"}

// String gives the API's word.
func (s CampaignStatus) String() string { return campaignNames[s] }

// CampaignCanceledCode is the code of a message that was taken back with its campaign.
const CampaignCanceledCode = "campaign_canceled"

// Candidate is somebody in the audience who is about to be judged.
type Candidate struct {
	Patient int64
	Message int64 // the id that their message has, or will have
	Again   bool  // they were claimed before, and surely not sent to
}

// Judged is what the door says of one candidate, before the claim.
type Judged struct {
	Candidate
	Version  int64 // of the snapshot; 0: nobody is known under the id
	Outcome  policy.Outcome
	Code     string
	Until    time.Time // Defer
	Pair     preferences.Pair
	Form     policy.Form
	Discreet bool
	Language string // of the text
	Wording  string // its digest
	Program  channels.Program
	NotAfter time.Time // the end of the window it was judged in; zero: none
	Cap      *Cap      // nil: nothing is counted
	// What the decision stood on, for its replay: Asked is the same for all who are judged
	// together and holds nothing of anybody, Facts are this person's own. Of somebody who
	// was claimed before, it is kept in full beside the earlier one.
	Asked, Facts []byte
	Decision     *DecisionRecord
}
