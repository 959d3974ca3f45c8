package storage

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"
)

// seeds is how many random scripts TestModel runs. A failure names its seed; the subtest
// of that name runs the same script again.
var seeds = flag.Uint64("model.seeds", 200, "number of random scripts for the storage model test")

// Random operations on the real thing and on the model, compared after each.
func TestModel(t *testing.T) {
	count := *seeds
	if testing.Short() {
		count /= 4
	}
	for seed := range count {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runScript(t, randomScript(seed)) })
	}
}

func FuzzModel(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomScript(seed)[:400])
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		if len(s) > 4096 {
			t.Skip("long scripts find nothing more")
		}
		runScript(t, s)
	})
}

func randomScript(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 0x646d71))
	s := make([]byte, 1500)
	for i := range s {
		s[i] = byte(rng.Uint32())
	}
	return s
}

// script is the source of all decisions: one byte each, 0 behind the end.
type script []byte

func (s *script) next() int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b)
}

// below returns a number less than n.
func (s *script) below(n int) int { return s.next() % n }

// operations are weighted; the weights make up 256, so that a byte selects one.
var operations = []struct {
	name   string
	weight int
	do     func(*world)
}{
	{"push", 34, (*world).opPush},
	{"push run", 18, (*world).opPushRun},
	{"batch", 12, (*world).opBatch},
	{"pop", 18, (*world).opPop},
	{"deliver", 18, (*world).opDeliver},
	{"give back", 12, (*world).opGiveBack},
	{"subscribe", 8, (*world).opSubscribe},
	{"attach", 12, (*world).opAttach},
	{"next", 20, (*world).opNext},
	{"next of a woken one", 24, (*world).opNextWoken},
	{"take", 19, (*world).opTake},
	{"fail", 16, (*world).opFail},
	{"release", 6, (*world).opRelease},
	{"pause", 8, (*world).opPause},
	{"leave", 12, (*world).opLeave},
	{"give unused space back", 7, (*world).opTrim},
	{"remove", 5, (*world).opRemove},
	{"peek", 3, (*world).opPeek},
	{"clear", 2, (*world).opClear},
	{"remove a subscriber", 2, (*world).opUnsubscribe},
}

func runScript(t *testing.T, s script) {
	w := newWorld(t, s)
	defer w.dir.Release()
	// Reading a ring that was unmapped too early must be a failure that names its script.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			w.fatalf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for len(w.script) > 0 {
		op := w.script.next()
		i := 0
		for op >= operations[i].weight {
			op -= operations[i].weight
			i++
		}
		w.begin(operations[i].name)
		operations[i].do(w)
		w.check()
		w.mark()
	}
	w.settleAll()
	w.drain()
	w.begin("remove all")
	for _, name := range channelNames {
		w.remove(name)
	}
	w.check()
	if n := len(w.channels.All()); n != 0 {
		w.fatalf("%d channels left after all were removed", n)
	}
}

func TestWeightsOfOperationsMakeUpAByte(t *testing.T) {
	sum := 0
	for _, op := range operations {
		sum += op.weight
	}
	if sum != 256 {
		t.Errorf("weights make up %d, want 256", sum)
	}
}
