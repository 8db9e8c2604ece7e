package main

import (
	"maps"
	"slices"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/dispatch"
)

// tellOfMute says at the start which programs have categories that may be called and
// no number to call from: nobody is called then, and an essential message to a
// landline goes to a person of the practice.
func (s *server) tellOfMute() {
	var told []channels.Program
	for _, name := range slices.Sorted(maps.Keys(s.policy.File.Categories)) {
		cat, _ := s.policy.Category(name)
		_, speaks := s.carriers.ways[dispatch.WayOf{Program: cat.Program, Channel: channels.Voice}]
		if speaks || !slices.Contains(cat.Channels, channels.Voice) || slices.Contains(told, cat.Program) {
			continue
		}
		told = append(told, cat.Program)
		s.log.Warn("nobody is called for this program: set its voice_from to a number that may call", "setting", "programs."+cat.Program.String()+".voice_from")
	}
}
