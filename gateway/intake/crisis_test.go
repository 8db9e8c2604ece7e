package intake

import "testing"

// cries are words that a person must see at once, as people text them.
var cries = []string{
	// Marks instead of spaces, and apostrophes beside them.
	"I can't go on...goodbye", "I don't want to live.Help me", "I don't want to live\U0001F62Dhelp", "I can't go on\u2014I'm done",
	"i don't want to be here anymore.im sorry",
	"I don\u2019t want to live\U0001F62D", "I don\u00b4t want to live", "I don\u02bct want to live", "I don't want to live/breathe", "kill-myself",
	"I want to die,bye", "I.want.to.die", "want_to_die", "i want to die\u200b", "I want\nto die",
	// Spelling.
	"I want to d!e", "i want to d1e", "want to k1ll myself", "thinking about su1c1de", "k*ll myself", "$uicide", "I want to d i e", "kms", "KMS!!", "k m s",
	"unalive myself", "I'm gonna unalive", "i wanna dieeee", "i wanna killll myself",
	"sucide", "sewerslide", "I wanna kms tonight", "Ｉ ｗａｎｔ ｔｏ ｄｉｅ", "I WANT TO DIE", //nolint:misspell // as people write, and in Spanish
	// Suicide and self-harm.
	"suicide", "I feel suicidal", "I'm thinking about suicide", "I want to end my own life", "I want to end it all", "kill my self", "I will kill my-self",
	"shoot myself", "going to shoot myself", "I dont want to be alive", "don't wanna live", "no longer want to live",
	"I feel like dying", "I'm going to kill myself", "there's no point in living", "no reason to live", "I'd be better off dead",
	"everyone would be better off without me", "I wish I was never born", "I wish I was dead", "i wish i wouldn't wake up", "I hope I don't wake up tomorrow",
	"I took all my pills", "i took the whole bottle of pills", "I swallowed a lot of pills", "I want to take all my pills", "overdosed?", "I'm going to overdose",
	"i'm going to jump off the bridge", "jump in front of a train", "I cut my wrists", "cutting myself again", "I've been hurting myself", "self-harm", "selfharm",
	"I can't do this anymore", "I can't take it any more", "I can't keep going", "cannot go on like this", "tired of living", "life isn't worth living",
	"nothing left to live for", "goodbye forever", "this is my final goodbye", "I have a gun", "I bought a gun", "I don't want to exist",
	"I don't want to be here anymore",
	"I want to disappear", "I just want to die", "ready to die", "rather be dead", "I'm done with life", "voices are telling me to do it",
	"I'm going to do something stupid", "hang myself", "starving myself", "I want to drown myself", "I can't live like this", "please let me die", "I should just die",
	"it would be better if I was gone",
	"stop. I want to die", "stop texting me I want to end my own life", "not suicidal",
	// Danger.
	"he is going to hurt me", "he's going to kill me", "my husband is hitting me", "my boyfriend hit me", "she is hitting me", "I'm in danger", "I am not safe",
	"I don't feel safe at home", "I want to kill my wife", "I'm going to kill him", "I want to hurt someone", "he tried to strangle me", "I'm being abused",
	"I was raped",
	"he has a knife", "my ex threatened to kill me", "I fear for my life", "call 911", "need the police", "i'm scared of him", "I feel like hurting people",
	"someone is trying to hurt me",
	// Spanish.
	"me quiero suicidar", "me voy a suicidar", "voy a suicidarme", "suicidio", "no quiero mas vivir", "no quiero más esta vida", "ya no quiero vivir",
	"no quiero vivir", "quiero matarme", "quiero quitarme la vida", "no puedo más", "ya no puedo mas", "ya no aguanto más", "me corto", "quiero morir",
	"me quiero morir", "quisiera estar muerto",
	"no quiero seguir viviendo", "no quiero despertar", "me quiero matar", "voy a acabar con todo", "quiero acabar con mi vida", "hacerme daño", "me hago daño",
	"me tomé todas las pastillas", "sobredosis", "no tengo ganas de vivir", "estoy cansada de vivir", "no vale la pena vivir", "estarían mejor sin mí", "mejor muerta",
	"adiós para siempre",
	"me va a matar", "me está pegando", "mi esposo me pega", "me quiere hacer daño", "estoy en peligro", "tengo una pistola", "llamen a la policía", "me amenazó",
	"tengo miedo de él", "me voy a colgar", "voy a tirarme del puente", "ojalá me muera", "No puedo más...adiós", "no quiero vivir😭", "¡ayuda!quiero morir",
}

// everydayTexts are the same words, and no cry.
var everydayTexts = []string{
	"dying to see you", "my phone died", "my phone is about to die", "killing time", "killing it today", "I was dying laughing", "that won't kill me",
	"shoot me a text", "hit me up later", "he hit me back on Tuesday", "I can't go on Tuesday", "I can't go on the 5th", "I ran 5 kms", "10 kms away",
	"see you tomorrow", "I can't stop crying", "can I jump on a call?", "I'm going to jump in the shower", "I cut myself off sugar", "in danger of missing my visit",
	"it hurts my feelings", "end of my rope burn", "my back hurts me", "the appointment ends at 5", "what's the end date", "is it safe to drive?",
	"can we end at noon today", "suite 911", "jump rope", "my battery died", "I quit smoking", "my hair is dead", "dead on time", "I feel better off the phone",
	"take my own car", "take my life insurance card", "I live in Denver", "I want to live closer", "I would rather come Monday", "no reason to reschedule",
	"C", "yes", "R", "see you at 10:30!", "thanks so much", "I'm running late, sorry", "what should I bring", "How do I pay?", "my knee is killing me",
	"my kid is sick today", "Should I take it with food?", "I lost my wallet", "how much is it", "good morning", "I had a good day!",
	"should I take my pills at night",
	"no puedo más tarde", "no puedo el martes", "ya no puedo ir el martes", "me voy a cortar el pelo", "me van a hacer una cita", "gracias", "nos vemos mañana",
	"quiero que deje de doler", "mi teléfono se murió", "no quiero ir el lunes", "¿a qué hora es?", "acabar con el papeleo", "Dejé de tomar mi medicina",
	"Paré de comer",
	"me duele la cabeza", "quiero cambiar mi cita", "llego tarde", "no puedo ir", "voy a llegar tarde", "me quiero cortar el cabello",
}

func TestCries(t *testing.T) {
	for _, text := range cries {
		if !Read(text).Crisis {
			t.Errorf("%q is not heard as a cry", text)
		}
	}
}

func TestEverydayWordsAreNoCry(t *testing.T) {
	for _, text := range everydayTexts {
		if Read(text).Crisis {
			t.Errorf("%q is heard as a cry", text)
		}
	}
}

// Around a cry anything may stand: another sentence, a mark, a line.
func TestACryIsHeardAmongOtherWords(t *testing.T) {
	for _, text := range []string{"I want to die", "I don't want to live", "kill myself", "quiero morir", "me quiero suicidar"} {
		for _, around := range []string{"hi. %s", "%s.help", "%s\U0001F62D\U0001F62D", "sorry\u2026%s\u2026bye", "STOP! %s", "%s\nSent from my phone", "(%s)", "ok,%s"} {
			if text := around[:indexOf(around)] + text + around[indexOf(around)+2:]; !Read(text).Crisis {
				t.Errorf("%q is not heard as a cry", text)
			}
		}
	}
}
