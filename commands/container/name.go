package container

import (
	"crypto/rand"
	"strings"
)

// Words for names of containers that were given none: what a boat can be, and
// people who went to sea or found out how the sea works.
const (
	adjectives = `able agile airy alert amber ample azure balmy bold brave breezy bright brisk calm candid cheery civil
clean clear clever cosy crisp curious dapper daring deft devoted dreamy eager early earnest easy elated even fair
faithful festive fleet fluent fond frank free fresh frosty gentle gifted glad golden grand handy happy hardy hearty
honest hopeful humble jaunty jolly jovial keen kind lasting lively loyal lucid lucky mellow merry mighty mild modest
neat nimble noble patient placid plucky polite proud quick quiet radiant ready robust rosy salty serene sharp silent
silver sleek smart smooth snug sober spry stable steady stoic sturdy sunny sure swift tender tidy tranquil trim true
trusty upbeat valiant vivid warm wise witty zesty`
	surnames = `amundsen anning anson baffin baker barents baret barton beaufort beebe bering blackborow blyth bougainville
bowditch cabot cabral carson cartier chichester clapperton coleman cook cousteau crozier dampier davis delgado dias
drake earle edgerton ekman elcano eratosthenes ericson fitzroy forbes forel franklin frobisher galvez gilbert greely
haeckel halley hanno harrison hawkins heezen hensen henson heyerdahl hopper hudson hutton ibnmajid jansz kane king
knorr lapita laperouse linschoten lovell macarthur magellan marsigli maury mawson mercator mero munk nansen nearchus
nobile oceanus parry peary picard piccard plancius polo ptolemy pytheas quiros rae raleigh rawson ross scott shackleton
slocum snow spilhaus stommel sverdrup tasman tharp torres tristao vancouver verne vespucci walker wallis weddell wilkes
worsley wyville zhenghe`
)

// randomName returns adjective_surname.
func randomName() string { return RandomName() }

// RandomName is a name as docker makes them up.
func RandomName() string { return pick(adjectives) + "_" + pick(surnames) }

func pick(words string) string {
	list := strings.Fields(words)
	var b [2]byte
	rand.Read(b[:])
	return list[(int(b[0])<<8|int(b[1]))%len(list)]
}
