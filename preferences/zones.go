package preferences

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The zones, by the letters used in the tables below.
var zoneNames = map[string]string{
	"E": "America/New_York", "C": "America/Chicago", "M": "America/Denver", "P": "America/Los_Angeles", "A": "America/Anchorage",
	"D": "America/Adak", "H": "Pacific/Honolulu", "Z": "America/Phoenix", "B": "America/Boise", "I": "America/Indiana/Indianapolis",
	"T": "America/Detroit", "K": "America/Kentucky/Louisville", "R": "America/Puerto_Rico", "G": "Pacific/Guam", "S": "Pacific/Pago_Pago",
}

// nationZones are the zones of the 50 states.
const nationZones = "E C M P A D H Z B I T K"

// states: zones of each state and territory, and its area codes. A code followed
// by letters lies in fewer, or other, zones than its state; the rest may be
// anywhere in it. NANPA's area code maps; 49 CFR 71 for the boundaries.
const states = `
AL C: 205 251 256 334 659 938
AK A D: 907
AZ Z M: 480Z 520Z 602Z 623Z 928
AR C: 327 479 501 870
CA P: 209 213 279 310 323 341 350 357 369 408 415 424 442 510 530 559 562 619 626 628 650 657 661 669 707 714 738 747 760 805 818 820 831 837 840 858 909 916 925 949 951
CO M: 303 719 720 748 970 983
CT E: 203 475 860 959
DE E: 302
DC E: 202 771
FL E C: 239E 305E 321E 324E 352E 386 407E 448C,E 561E 645E 656E 689E 727E 728E 754E 772E 786E 813E 850 863E 904E 941E 954E
GA E: 229 404 470 478 678 706 762 770 912 943
HI H: 808
ID B P: 208 986
IL C: 217 224 309 312 331 447 464 618 630 708 730 773 779 815 847 861 872
IN I C: 219 260I 317I 463I 574 765I 812 930
IA C: 319 515 563 641 712
KS C M: 316C 620 785 913C
KY K E C: 270 364 502 606 859K,E
LA C: 225 318 337 504 985
ME E: 207
MD E: 227 240 301 410 443 667
MA E: 339 351 413 508 617 774 781 857 978
MI T C: 231T 248T 269T 313T 517T 586T 616T 679T 734T 810T 906 947T 989T
MN C: 218 320 507 612 651 763 924 952
MS C: 228 601 662 769
MO C: 235 314 417 557 573 636 660 816 975
MT M: 406
NE C M: 308 402 531
NV P M: 702 725 775
NH E: 603
NJ E: 201 551 609 640 732 848 856 862 908 973
NM M: 505 575
NY E: 212 315 329 332 347 363 465 516 518 585 607 624 631 646 680 716 718 838 845 914 917 929 934
NC E: 252 336 472 704 743 828 910 919 980 984
ND C M: 701
OH E: 216 220 234 283 326 330 380 419 436 440 513 567 614 740 937
OK C: 405 539 572 580 918
OR P B: 458 503P 541 971P
PA E: 215 223 267 272 412 445 484 570 582 610 717 724 814 835 878
RI E: 401
SC E: 803 821 839 843 854 864
SD C M: 605
TN C E: 423 615C 629C 731C 865E 901C 931
TX C M: 210C 214C 254C 281C 325C 346C 361C 409C 430C 432 469C 512C 621C 682C 713C 726C 737C 806 817C 830C 832C 903C 915 936C 940C 945C 956C 972C 979C
UT M: 385 435 801
VT E: 802
VA E: 276 434 540 571 686 703 757 804 826 948
WA P: 206 253 360 425 509 564
WV E: 304 681
WI C: 262 274 353 414 534 608 715 920
WY M: 307
PR R: 787 939
VI R: 340
GU G: 671
MP G: 670
AS S: 684
`

// postal: the state of each range of three-digit ZIP prefixes. USPS Publication 65.
const postal = `005-005 NY 006-007 PR 008-008 VI 009-009 PR 010-027 MA 028-029 RI 030-038 NH 039-049 ME 050-054 VT 055-055 MA 056-059 VT 060-069 CT 070-089 NJ
100-149 NY 150-196 PA 197-199 DE 200-205 DC 206-219 MD 220-246 VA 247-268 WV 270-289 NC 290-299 SC 300-319 GA 320-349 FL 350-369 AL 370-385 TN 386-397 MS
398-399 GA 400-427 KY 430-459 OH 460-479 IN 480-499 MI 500-528 IA 530-549 WI 550-567 MN 569-569 DC 570-577 SD 580-588 ND 590-599 MT 600-629 IL 630-658 MO
660-679 KS 680-693 NE 700-714 LA 716-729 AR 730-732 OK 733-733 TX 734-749 OK 750-799 TX 800-816 CO 820-831 WY 832-838 ID 840-847 UT 850-865 AZ 870-884 NM
885-885 TX 889-898 NV 900-961 CA 967-968 HI 969-969 GU 970-979 OR 980-994 WA 995-999 AK`

// The tables, read once as the program starts and never changed.
var (
	zonesByState, zonesByArea = readStates()
	statesByPrefix            = readPostal()
)

func readStates() (byState, byArea map[string][]string) {
	byState, byArea = map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(states)) {
		head, codes, _ := strings.Cut(line, ":")
		parts := strings.Fields(head)
		zones := named(parts[1:])
		byState[parts[0]] = zones
		for _, code := range strings.Fields(codes) {
			byArea[code[:3]] = zones
			if len(code) > 3 {
				byArea[code[:3]] = named(strings.Split(code[3:], ","))
			}
		}
	}
	return byState, byArea
}

func named(letters []string) []string {
	var list []string
	for _, l := range letters {
		list = append(list, zoneNames[l])
	}
	return list
}

func readPostal() map[int]string {
	byPrefix := map[int]string{}
	fields := strings.Fields(postal)
	for i := 0; i+1 < len(fields); i += 2 {
		from, _ := strconv.Atoi(fields[i][:3])
		to, _ := strconv.Atoi(fields[i][4:])
		for n := from; n <= to; n++ {
			byPrefix[n] = fields[i+1]
		}
	}
	return byPrefix
}

// ZonesOfNumber gives every zone of a number's area code (E.164, US and
// territories); nil for toll-free and unknown codes, which say nothing.
func ZonesOfNumber(e164 string) []string {
	if len(e164) != 12 || !strings.HasPrefix(e164, "+1") {
		return nil
	}
	return slices.Clone(zonesByArea[e164[2:5]])
}

// ZonesOfState gives every zone of a state or territory, by its two letters; nil
// when unknown.
func ZonesOfState(code string) []string { return slices.Clone(zonesByState[code]) }

// ZonesOfPostalCode gives every zone of the state that a ZIP code lies in; nil
// when unknown. 969 is shared by islands an hour and more apart.
func ZonesOfPostalCode(zip string) []string {
	if len(zip) < 5 {
		return nil
	}
	n, err := strconv.Atoi(zip[:3])
	if err != nil {
		return nil
	}
	if n == 967 && zip[:5] == "96799" {
		return ZonesOfState("AS")
	}
	return ZonesOfState(statesByPrefix[n])
}

// AllZones gives every zone of the 50 states.
func AllZones() []string { return named(strings.Fields(nationZones)) }

// ZonesFingerprint is a short digest of what the time-zone database in use says of
// our zones, day by day. Two machines with the same one decide alike; a replay
// under another one says so.
func ZonesFingerprint() string {
	h := fnv.New64a()
	for _, name := range codecZones {
		loc, err := time.LoadLocation(name)
		if err != nil {
			_, _ = h.Write([]byte("?" + name)) // a hash never fails to write
			continue
		}
		for day := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() < 2038; day = day.AddDate(0, 0, 1) {
			_, offset := day.In(loc).Zone()
			_, _ = h.Write([]byte{byte(offset / 900)})
		}
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
