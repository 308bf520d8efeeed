package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// What the commands that look at whole archives allow themselves.
const (
	bulkWidth = 16 // questions at a time
	askTries  = 5  // of one question, while the link is to blame
)

// ask puts a question to a destination until it is answered, a few times at
// most: an operator waits for it.
func ask(ctx context.Context, question func() error) error {
	p := newPace(newRand())
	for n := 1; ; n++ {
		p.begin()
		err := question()
		p.done(time.Now(), err)
		if !passing(err) || n == askTries {
			return err
		}
		if !sleep(ctx, time.Until(p.nextTry)) {
			return err
		}
	}
}

// passing says that err is of the link or the service and may heal by itself.
func passing(err error) bool {
	if te := (*transport.Error)(nil); !errors.As(err, &te) {
		return false
	}
	switch transport.KindOf(err) {
	case transport.Temporary, transport.Throttled, transport.Offline:
		return true
	}
	return false
}

// bulk calls do for each item that feed yields, several at a time, and returns
// when all are done. The first error of either ends it; done is called by one
// goroutine at a time, with what each do made.
func bulk[In, Out any](ctx context.Context, feed func(yield func(In) error) error, do func(context.Context, In) (Out, error), done func(Out) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	items := make(chan In)
	var (
		workers sync.WaitGroup
		one     sync.Mutex // held while done runs
	)
	for range bulkWidth {
		workers.Go(func() {
			for item := range items {
				if ctx.Err() != nil {
					continue // let the feed end
				}
				out, err := do(ctx, item)
				if err == nil {
					one.Lock()
					err = done(out)
					one.Unlock()
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	err := feed(func(item In) error {
		select {
		case items <- item:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(items)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
