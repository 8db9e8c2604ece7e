package intake

// inCrisis: words of self-harm or danger, in English or Spanish, as people text
// them. Rather one look by a person too many than one too few: what everyday words
// mean instead is taken out only where it is plain.
func inCrisis(words []string, h *Heard) bool {
	return crisis.in(without(words, everyday...), h)
}

// Words that many of the phrases share.
const (
	someone = "he|she|they|husband|wife|boyfriend|girlfriend|partner|ex|dad|father|stepdad|stepfather|mom|mother|son|daughter|brother|sister|uncle|cousin|roommate|caregiver|boss|neighbor|man|guy"
	victim  = "me|us|her|him|them|someone|somebody|everyone|everybody|people|others|yourself|you|myself|himself|herself|themselves"
	family  = "wife|husband|kid|kids|child|children|son|daughter|baby|mom|mother|dad|father|brother|sister|boss|ex|boyfriend|girlfriend|partner|family|roommate|neighbor"
)

var crisis = phrases{
	[]string{
		// Suicide and self-harm by name.
		"suicide|suicidal|suicides|parasuicide|kms|kys|unalive|unaliving|unalived|selfharm|selfharming",
		"self harm|harming|injury|injuring|injure|mutilate|mutilation",
		"kill|killing|killed|end|ending|hurt|hurting|harm|harming|cut|cutting|hang|hanging|shoot|shooting|drown|drowning|stab|stabbing|poison|poisoning|burning|strangle|choke|choking|off|offing|unalive|delete|erase|injure|starve|starving myself|meself",
		"kill|shoot|end me", "end|ending|ended|take|taking|took|lose my own? life", "end|ending my own? existence",
		"end|ending it all|tonight|today|now|soon|forever|for", "end|ending everything", "want|going to end it $", "ending it $", "not exist $", "out of this life|world",
		"think|thinking|thoughts|thought about|of death|dying|suicide", "bleed out", "pills and i want|will|am", "reason for me to be here|alive", "not alive",
		"want|wants it all to end|stop", "make it all end|stop",
		"want|wants|wanting|ready|going|about|like|rather|wish|wished|try|trying|plan|planning|need|hope|hoping|willing|waiting|choose|decided to just? die",
		"better to die",
		"want|wants|wish|rather|ready to? be dead", "rather|just die", "let me die", "should|could|would just? die", "wish|hope|pray i die|died|dies|dead",
		"deserve to die", "feel|feels|felt like dying",
		"wish i was|were|am dead|gone", "wish i was|were|had never born", "wish i was|were|had never|not been? born", "should never have been born",
		"better off dead|gone", "better off without me", "better if i was|were dead|gone|not", "better if i died",
		"not wake|waking up any? more|tomorrow|again|ever", "never wake|waking up", "not|never want to wake up", "wish i would not wake", "hope i do not wake",
		"sleep forever", "want to disappear",
		"no longer want|wants|wish to live|exist|be", "not|never want|wants|wanted|wanting to live|exist|breathe", "not|never want to be alive|living",
		"not want|wants to be here|around any more", "not want to be here|around $",
		"not want to be on this earth|planet|world", "not be|here here|around much longer", "not want to keep living|going|existing|fighting", "not want to go on $",
		"not want to go on any|living|like|with",
		"no|not any? reason|point|will|purpose to|in|of|for live|living|life|going|existing", "no point living|existing", "not have a|any reason to live",
		"nothing left? to live for", "not worth living|it any more",
		"life is not worth", "life is over|pointless|meaningless", "point of living|life", "hate|hated living|existing", "done with everything",
		"tired|sick|done|weary of|with living|life|existing|being|this alive?", "done living", "hate being alive", "give|gave|giving|given up on life|living|everything",
		"can not go|keep on|going|living", "can not keep going|living|doing|fighting", "can not live like|any|with|without|this",
		"can not take|do|handle|bear it|this any more", "can not take it $", "could not go on",
		"goodbye|farewell forever|world|everyone|everybody|cruel|life", "this is my? final? goodbye", "my|final|last goodbye|goodbyes",
		"say|saying my? goodbye|goodbyes to everyone|everybody",
		"cut|cutting|slit|slitting|slash|slashing my wrist|wrists|throat|arm|arms|leg|legs|veins", "overdose|overdosed|overdosing|od",
		"took|taken|swallowed|swallowing the|a? all|too|whole|bunch ~ pills|tablets|capsules|bottle",
		"take|taking|swallow all|whole ~ pills|tablets|bottle", "swallowed ~ pills", "took|taken|drank|drink|drinking ~ bleach|poison|antifreeze",
		"jump|jumping in? off|from|front", "going|want to jump", "step|walk|walking in front of a|the|traffic|car|train|bus|truck",
		"have|has|got|bought|buy|holding|hold|loaded|getting|get a|my|his|her|the? gun|pistol|rifle|shotgun|noose|rope|razor", "gun to my|his|her",
		"have|has|had|pulled a? knife",
		"nobody|noone|no would|will miss|care|notice if|me i?", "no one would|will miss|care|notice if|me", "everyone|everybody|they would|will be better without",
		"voices ~ telling|tell me to", "going|want to do something|anything stupid|drastic|bad|crazy|terrible",
		"scared|afraid|terrified|fear|fearful of? for? my life|safety", "scared|afraid of what i", "scared|afraid of myself", "scared|afraid|terrified of him|her|them",
		// Danger.
		"in danger", "danger to myself|others|me", "keep myself safe", "shoot up the|my|this", "send help", "need help now|right|urgently", "^ help me|us now|please|$",
		"hurt|harm|kill|shake my baby|kid|kids|child|children", "i am not safe", "i am unsafe", "not|never feel|feeling|felt safe", "feel|feeling|am unsafe",
		"not safe here|home|with|alone|around|right|now|any|at|$", "call|called|calling|dial|need 911|police|cops|ambulance",
		"call|called|calling|need the|an police|cops|ambulance", "911", "988", "emergency right? now|please|help", "need ~ help right now",
		"being|been|was|got|getting abused|beaten|raped|assaulted|molested|stalked|attacked|strangled|trafficked|threatened|kidnapped",
		"going|want|wants|wanted|trying|tries|tried|threatened|threatening|threatens|about|plan|plans|planning|ready|feel|like|urge|have|need to kill|hurt|shoot|stab|beat|murder|rape|strangle|attack|harm|choke " + victim,
		"going|want|wants|wanted|trying|tried|threatened|threatening|plan|planning|about to kill|shoot|stab|murder|strangle|hurt|harm|poison my|his|her|the|a " + family,
		"will|could|might kill|shoot|stab|murder|strangle " + victim, "will|would hurt|beat me|us",
		"kill|killing|murder|shoot|stab someone|somebody|him|her|them|everyone|everybody|people|others|yourself",
		"hurt|hurting|harm|harming someone|somebody|yourself|others|people",
		someone + " is|was|keeps|just|has|started|always|will? hit|hits|hitting|beat|beats|beating|hurt|hurts|hurting|choked|chokes|choking|strangled|punched|punching|kicked|kicking|raped|raping|attacked|attacking|abused|abuses|abusing|molested|threatened|threatens|threatening|stabbed|cut|shot|slapped|slapping me|us",
		"raped|molested|strangled|stabbed me|us", "hits|beats|hitting|beating me $", "not|never let|lets|letting me leave|out|go", "holding me hostage|against",
		"locked me in",
	},
	[]string{
		"suicidio|suicidarme|suicidar|suicidarse|suicidarte|suicida|suicidas|suicidare|suicido|suicidando|autolesion|autolesiones|autolesionarme|autolesionando|unalive",
		"matarme|matarte|matarlo|matarla|matarlos|matarnos|matarse|matare|colgarme|ahorcarme|dispararme|envenenarme|ahogarme|morirme|lastimarme|quemarme|cortarme",
		"me|nos quiero|voy|quisiera|quieren|quiere|va|van|vas a? matar|morir|suicidar|ahorcar|colgar|cortar|lastimar|disparar|golpear|pegar|violar|tirar|aventar|lanzar|ahogar|envenenar|hacer a? dano?",
		"quiero|quisiera|deseo|prefiero|preferiria|mejor|gustaria|necesito|pienso|espero|ojala|pensado|pensando|intente|intentado ya|en|a? morir|morirme|desaparecer|matarme|muera|muriera|suicidarme",
		"quiero|quisiera|mejor|prefiero|ojala estar|estuviera|estaria muerto|muerta",
		"ojala me muera|muriera|muriese", "mejor muerto|muerta", "estarian|estarias|estaran mejor sin mi", "ganas de morir|morirme|matarme|suicidarme|desaparecer",
		"sin|no|tengo|perdi|perdido las? ganas de vivir|seguir|existir", "dejar|deje de existir|vivir", "ir|irme de este|esta mundo|vida", "me mato|suicido|mate $",
		"dormir ~ no despertar", "dormir|dormirme para siempre",
		"quitar|quitarme|quito|quite|quitare|arrancarme|arrebatarme la vida", "acabar|acabare|acabo|terminar|terminare|termino con mi? vida|existencia|todo",
		"hacerme|hacerle|hacerles|hago|haciendo|hacer dano|hacerme", "hacerme algo", "hacer|cometer|haga|haciendo una locura|estupidez",
		"sobredosis", "tome|tomarme|tomar|tomado|trague todas? las|mis|muchas|toda|todas pastillas|pildoras", "todas las|mis pastillas|pildoras",
		"cortar|corto|cortarme|corte|cortando las|mis venas|munecas",
		"no quiero|quisiera ya? mas? vivir|existir|despertar", "no quiero|quisiera mas esta? vida",
		"no quiero|quisiera seguir viviendo|viva|vivo|asi|existiendo|con|aqui|en", "no quiero|quisiera|deseo estar viva|vivo",
		"ya no quiero seguir|estar|nada|vivir|esta|despertar $|aqui|viva|vivo|vida|mas|asi", "no quiero estar aqui $",
		"no puedo ya? mas", "ya no puedo $", "ya no puedo mas|seguir|con", "no puedo seguir $", "no puedo seguir asi|viviendo|adelante|mas|con",
		"no aguanto mas|esta|la|vivir", "ya no aguanto|soporto", "no soporto mas|vivir|esta",
		"no vale la pena vivir|seguir|nada", "razon|razones|motivo|motivos|sentido|caso para|de|a|en vivir|seguir|la|mi|viviendo vida?", "nada por que|lo vivir|cual",
		"cansado|cansada|harto|harta|canse de vivir|existir|esta|mi|la vida?", "odio estar vivo|viva",
		"adios mundo|para|a cruel|siempre|todos", "despedirme|despido|despedida de|a|final todos|la|este|esta|mi|$",
		"tirarme|aventarme|lanzarme|arrojarme de|del|desde|al|a|por|en", "pegarme un tiro", "darme|doy un tiro",
		"en peligro", "no estoy a salvo", "no me siento segura|seguro en|con|aqui|sola|solo|ahora|$", "no me siento a salvo", "miedo por mi|la vida",
		"miedo de|a el|ella|mi", "miedo de|a que me",
		"me esta|estan pegando|golpeando|matando|lastimando|abusando|amenazando|violando|siguiendo|acosando|ahorcando",
		"me pega|pegan|pego|golpea|golpean|golpeo|viola|violo|violaron|amenaza|amenazo|amenazan|amenazaron|maltrata|maltratan|estrangulo|ahorco|apunalo|abusa|abuso",
		"me|nos va|van|quiere|quieren|trato|intenta|intento|amenazo a|de|con? matar|hacer|pegar|golpear|lastimar|violar|disparar|matarme",
		"tiene|tengo|trae|traigo|compre una|un pistola|arma|cuchillo|navaja|rifle|soga", "llame|llamen|llamar|llama a|al la|911|una policia|ambulancia",
		"llame|llamen a? una|la policia|ambulancia",
		"911|988", "voces ~ dicen|dice|ordenan", "cortarme|me corto|lastimo|quemo", "lo|la|los|te voy|quiero a? matar|lastimar",
		"matar a alguien|mi|todos|el|ella|esa|ese", "lastimar|hacerle|hacer dano? a alguien|otros|mi", "emergencia",
	},
}

// everyday are uses of the same words that say nothing of danger.
var everyday = []string{
	"# kms", "kms away|from|per|in|to", "phone|cell|battery|laptop|ipad|tablet|car|computer|plant|plants|wifi|internet ~ die|died|dying|dead",
	"dying|die of? laughing|laughter|boredom|curiosity|embarrassment",
	"will|would|did|does not kill me|you|us|him|her", "shoot me a|an|the|your|over", "shoot you a|an", "hit|hitting me up|back|with", "hurt|hurting|hurts ~ feelings",
	"killing|kill time|it|two", "hate to lose|jump",
	"in danger of losing|being|missing", "jump|jumping in|on|into a|the|another|my|an call|shower|zoom|meeting|car|bus|pool|computer|visit|video",
	"jump|jumping off|from the|this|a|my? call|zoom|meeting|phone|computer|trampoline|diving",
	"can not go on the? #|monday|tuesday|wednesday|thursday|friday|saturday|sunday|mondays|tuesdays|wednesdays|thursdays|fridays|vacation|zoom|that|weekends|january|february|march|april|may|june|july|august|september|october|november|december",
	"can not keep going back|to|there|through", "can not do this|it any more appointments|visits|today", "end it today|now|soon|tonight at|by|with|early",
	"cut|cutting myself off|some|a", "off myself or", "cut|cutting myself shaving|cooking",
	"room|suite|unit|apt|apartment|flight|porsche|hwy|highway|extension|ext|street 911|988", "911|988 street|st|ave|avenue|main|dollars",
	"have|has|got my|a? glue gun", "nail|glue|heat|staple|hot glue? gun",
	"not have|own|want a? gun|knife", "water|nerf|toy gun", "gun permit|license", "in|number|ending 988|911", "would|to die for",
	"not feel|feeling safe driving|to drive|about", "get|getting|got rope|razor burn", "get|bought|buy|have my|a? rope jump?", "jump rope", "no point in going to",
	"no reason to go|in going",
	"tired|sick of being on|sick|late|put|in", "tired|sick of this cold|cough|weather|flu|job|rain|heat|snow", "done with this form|survey|paperwork|class|one",
	"my? life insurance", "my ~ goodbye|goodbyes to? party",
	// Spanish.
	"no puedo mas tarde|temprano|que|de|adelante|pronto|antes", "me|se corto la|el llamada|internet|telefono|luz|senal",
	"cortar|cortarme|corto|corte ~ pelo|cabello|unas|cabellos|flequillo", "me|nos va|van a? hacer un|una|el|la|los|las|unos|unas|otra|otro|mi",
	"me va|van|quiere a? hacer $",
	"me|nos voy|quiero|va|van a? tirar|lanzar|aventar|colgar|pegar en|el|un|una la|sofa|cama|telefono|llamada|bano", "se me pego|pega|va|pegan", "me|nos voy a? hacer",
	"me|nos quiero hacer", "hacer dano al|a la|el planeta|carro|telefono|estomago", "peligro de perder",
	"no hago dano", "sentido de la vida", "acabar|terminar con todo ~ papeleo|tramite|formularios|formulario", "ya no quiero estar aqui en", "mi me quemo con",
	"miedo a|de que me saquen|cobren|pongan|inyecten|duela", "sala de emergencia|emergencias", "contacto de emergencia", "emergency contact|room|number", //nolint:misspell // as people write, and in Spanish
}
