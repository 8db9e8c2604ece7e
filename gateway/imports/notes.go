package imports

import (
	"slices"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
)

// plainNote is a note on confidential communication that can be followed as it
// stands: 45 CFR 164.522(b). Only the unmistakable ones are here; anything else is
// for a person to read.
type plainNote struct {
	on   []channels.Channel // the channels that stay; none: letters only
	of   []field            // the phones that stay; none: every phone
	says string             // how people write it, separated by |
}

var (
	smsOnly   = []channels.Channel{channels.SMS}
	voiceOnly = []channels.Channel{channels.Voice}
	cell      = []field{fieldMobile}
)

var plainNotes = []plainNote{
	{[]channels.Channel{channels.Email}, nil, "email only|emails only|only email|only by email|by email only|via email only|use email only|contact by email only|contact via email only|only contact by email|send email only"},
	{smsOnly, cell, "text only|texts only|only text|only texts|text message only|text messages only|only text messages|sms only|only sms|by text only|via text only|contact by text only|text cell only|cell text only|text cell phone only|texts to cell only"},
	{[]channels.Channel{channels.SMS, channels.Voice}, cell, "cell only|only cell|cell phone only|cellphone only|only cell phone|mobile only|mobile phone only|only mobile|use cell only|cell number only|contact cell only|contact by cell only|contact on cell only"},
	{voiceOnly, cell, "call cell only|call cell phone only|calls to cell only|only call cell|call mobile only"},
	{voiceOnly, []field{fieldHome}, "home phone only|call home only|call home phone only|only call home"},
	{voiceOnly, []field{fieldWork}, "work phone only|call work only|call work phone only|only call work"},
	{voiceOnly, nil, "phone only|phone calls only|phone call only|call only|calls only|only calls|voice only|by phone only"},
	{[]channels.Channel{channels.SMS, channels.Email}, cell, "email or text only|text or email only|email and text only|text and email only"},
	{nil, nil, "mail only|letter only|letters only|by mail only|us mail only|postal mail only|paper mail only|regular mail only|send letters only|only letters|only mail"},
	{[]channels.Channel{channels.SMS, channels.Email}, nil, "no calls|no call|no phone calls|do not call|dont call|never call|do not phone|no voicemail|no voicemails|no vm|do not leave voicemail|do not leave a voicemail|do not leave vm|do not leave message|do not leave messages|do not leave a message|dont leave messages"},
	{[]channels.Channel{channels.Voice, channels.Email}, nil, "no texts|no text|no texting|no text messages|do not text|dont text|never text"},
	{[]channels.Channel{channels.SMS, channels.Voice}, nil, "no email|no emails|do not email|dont email|never email"},
}

// noNote: what people write where there is no note.
var noNote = []string{"none", "na", "n", "no", "null", "nil"}

// isNoNote: nothing, dashes and dots, or a word for none. A note of other signs alone
// (🚫📞) is one that a person must read.
func isNoNote(note string) bool {
	if word := squeeze(note); word != "" {
		return slices.Contains(noNote, word)
	}
	return strings.Trim(note, " \t-–—_./\\,'\"") == ""
}

// words reads a note as words: no case, no marks, no "please".
func words(note string) string {
	note = strings.ReplaceAll(strings.ToLower(note), "e-mail", "email")
	note = strings.NewReplacer("'", "", "’", "").Replace(note)
	list := strings.FieldsFunc(note, func(r rune) bool { return squeeze(string(r)) == "" })
	list = slices.DeleteFunc(list, func(w string) bool { return w == "please" || w == "pls" })
	return strings.Join(list, " ")
}

// reachable are a row's valid addresses.
type reachable struct {
	phones    map[field][]string
	mailboxes []string
}

// instruction gives the ways that a plain note asks for, by the addresses of the
// row; unclear says why a person must read it.
func instruction(note string, r reachable) (only []intake.Way, unclear string) {
	said := words(note)
	i := slices.IndexFunc(plainNotes, func(p plainNote) bool { return slices.Contains(strings.Split(p.says, "|"), said) })
	if i < 0 {
		return nil, "The note is in free words."
	}
	p := plainNotes[i]
	of := p.of
	if len(of) == 0 {
		of = phoneFields
	}
	for _, ch := range p.on {
		if ch == channels.Email {
			only = append(only, ways(ch, r.mailboxes)...)
			continue
		}
		for _, f := range of {
			only = append(only, ways(ch, r.phones[f])...)
		}
	}
	if len(p.on) > 0 && len(only) == 0 {
		return nil, "The note asks for an address that the row does not have."
	}
	return only, ""
}

func ways(ch channels.Channel, addresses []string) []intake.Way {
	var list []intake.Way
	for _, a := range addresses {
		list = append(list, intake.Way{Channel: ch, Address: a})
	}
	return list
}
