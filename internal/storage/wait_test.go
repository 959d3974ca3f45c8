package storage

// patient is who waits for files, by blocking.
type patient struct {
	*Batch
	woken chan struct{}
}

func newPatient(b *Batch) patient { return patient{b, make(chan struct{}, 1)} }

func (p patient) Wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// do does what may have to wait, again and again until it has not.
func (p patient) do(operation func() error) error {
	for {
		err := p.Failed()
		if err == nil {
			err = operation()
		}
		if !p.Waits(err, p) {
			return err
		}
		p.End()
		for p.Waiting() {
			<-p.woken
		}
	}
}
