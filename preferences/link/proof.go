package link

import (
	"hash"
	"time"
)

// Proof says that somebody showed to read what comes to an address of a patient, and
// until when that counts. It lies in a browser and, like a link, says nothing about
// the person.
func (l *Links) Proof(patient, address int64, until time.Time) string {
	return l.write(proof, patient, address, until.UnixMicro())
}

// ReadProof gives what Proof was given, or ErrToken. Whether its time is over is the
// caller's to say.
func (l *Links) ReadProof(token string) (patient, address int64, until time.Time, err error) {
	ids, err := l.read(proof, token, 3)
	if err != nil {
		return 0, 0, time.Time{}, err
	}
	return ids[0], ids[1], time.UnixMicro(ids[2]), nil
}

// CodeDigest is what is kept of a code that was sent to an address of a patient. A
// code has so few digits that a hash without a key would give it away.
func (l *Links) CodeDigest(patient, address int64, digits string) []byte {
	macs := l.keys[code][0].macs
	mac := macs.Get().(hash.Hash)
	defer macs.Put(mac)
	mac.Reset()
	mac.Write(pack([]int64{patient, address}))
	mac.Write([]byte(digits))
	return mac.Sum(nil)
}
