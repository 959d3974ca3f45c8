package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// AdminCommands are commands of our own, for who looks into queues and steers them: list-queues
// [pattern [after]], queue-info queue, peek queue [skip [records]], list-clients [queue], disconnect
// id, clear queue, remove-subscriber queue, remove-channel channel, pause queue, resume queue. They
// reply with a line of JSON for each thing found, with "OK", or with "ERROR: " and the reason. A
// queue is [subscriber@]channel.
//
// operations is asked for when a command is used; it returns nil while the node starts.
func AdminCommands(operations func() *admin.Operations) Commands {
	command := func(least, most int, run func(o *admin.Operations, words []string, reply *json.Encoder) error) Command {
		return func(arguments string, reply io.Writer) {
			words := strings.Fields(arguments)
			o := operations()
			var err error
			switch {
			case o == nil:
				err = errors.New("the node does not serve yet")
			case len(words) < least || len(words) > most:
				err = fmt.Errorf("%d arguments, must be %d to %d", len(words), least, most)
			default:
				err = run(o, words, json.NewEncoder(reply))
			}
			if err != nil {
				fmt.Fprintf(reply, "ERROR: %v\n", err)
			} else {
				io.WriteString(reply, "OK\n")
			}
		}
	}
	change := func(run func(o *admin.Operations, name string) error) Command {
		return command(1, 1, func(o *admin.Operations, words []string, _ *json.Encoder) error { return run(o, words[0]) })
	}
	return Commands{
		"list-queues": command(0, 2, func(o *admin.Operations, words []string, reply *json.Encoder) error {
			words = append(words, "", "")
			queues, err := o.Queues(words[0], words[1], admin.MostQueues)
			return encodeAll(reply, queues, err)
		}),
		"queue-info": command(1, 1, func(o *admin.Operations, words []string, reply *json.Encoder) error {
			queue, err := o.Queue(words[0])
			return encodeAll(reply, []admin.Detail{queue}, err)
		}),
		"peek": command(1, 3, func(o *admin.Operations, words []string, reply *json.Encoder) error {
			skip, err := number(words, 1, 0)
			if err != nil {
				return err
			}
			records, err := number(words, 2, 10)
			if err != nil {
				return err
			}
			peeked, err := o.Peek(words[0], skip, records, admin.MostPeeked)
			return encodeAll(reply, admin.Records(peeked), err)
		}),
		"list-clients": command(0, 1, func(o *admin.Operations, words []string, reply *json.Encoder) error {
			return encodeAll(reply, o.Clients(append(words, "")[0]), nil)
		}),
		"disconnect": command(1, 1, func(o *admin.Operations, words []string, _ *json.Encoder) error {
			id, err := number(words, 0, 0)
			if err != nil {
				return err
			}
			return o.Disconnect(id)
		}),
		"clear": command(1, 1, func(o *admin.Operations, words []string, reply *json.Encoder) error {
			dropped, err := o.Clear(words[0])
			return encodeAll(reply, []admin.Amount{dropped}, err)
		}),
		"remove-subscriber": change((*admin.Operations).RemoveSubscriber),
		"remove-channel":    change((*admin.Operations).RemoveChannel),
		"pause":             change(func(o *admin.Operations, name string) error { return o.Pause(name, true) }),
		"resume":            change(func(o *admin.Operations, name string) error { return o.Pause(name, false) }),
	}
}

// encodeAll writes a line of JSON for each thing, unless there is an error.
func encodeAll[T any](reply *json.Encoder, things []T, err error) error {
	for i := 0; i < len(things) && err == nil; i++ {
		err = reply.Encode(things[i])
	}
	return err
}

// number returns the argument at an index, or otherwise.
func number(words []string, index int, otherwise uint64) (uint64, error) {
	if index >= len(words) {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(words[index], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", words[index])
	}
	return n, nil
}
