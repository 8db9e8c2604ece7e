package gateway

import "harmonize.care/heed/channels"

// PressedKey is what a pressed key asks for.
type PressedKey uint8

// The meanings of a key; any other key, and none, is KeyNothing.
const (
	KeyNothing  PressedKey = iota
	KeyStop                // 9
	KeyConfirm             // 1
	KeyCallBack            // 2
)

// Asked is a message in whose call a person was asked for a key.
type Asked struct {
	Message  *Message
	Program  channels.Program
	Locale   string
	Discreet bool
	Confirms bool // there is something to confirm
}
