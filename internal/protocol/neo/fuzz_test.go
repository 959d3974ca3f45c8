package neo

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// within fails unless part is a piece of whole's memory: decoders hand out what they were
// given and make nothing of what a peer announces.
func within(t *testing.T, whole, part []byte) {
	t.Helper()
	if len(part) == 0 {
		return
	}
	for i := range whole {
		if &whole[i] == &part[0] {
			if len(part) > len(whole)-i {
				t.Errorf("%d bytes at %d of an input of %d", len(part), i, len(whole))
			}
			return
		}
	}
	t.Errorf("%d bytes that are not part of the input", len(part))
}

// reason fails unless err is one of the errors documented.
func reason(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{ErrVersion, ErrParity, ErrType, ErrLength, ErrRequestID, ErrMalformed} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Errorf("undocumented error %v", err)
}

func FuzzNext(f *testing.F) {
	for _, m := range messages {
		f.Add(fromHex(f, m.hex), uint64(1<<20))
	}
	f.Add(bytes.Repeat([]byte{1}, 18), ^uint64(0)) // a valid header, by the weakness of the parity
	f.Add(AppendHeader(nil, Header{TypeRequest, ^uint64(0)}), ^uint64(0))
	f.Fuzz(func(t *testing.T, stream []byte, maxBody uint64) {
		for buf := stream; ; {
			id, payload, size, err := Next(buf, maxBody)
			if err != nil {
				reason(t, err)
				return
			}
			if size < HeaderSize || uint64(size-HeaderSize) > maxBody && len(buf) >= HeaderSize {
				t.Fatalf("size %d with a limit of %d", size, maxBody)
			}
			if size > len(buf) {
				return
			}
			within(t, stream, payload)
			again := append(AppendFramePrefix(nil, id, len(payload)), payload...)
			if !bytes.Equal(again, buf[:size]) {
				t.Fatalf("encoded again: got % x, want % x", again, buf[:size])
			}
			buf = buf[size:]
		}
	})
}

func FuzzHandshake(f *testing.F) {
	for _, a := range authentications {
		client := login(a.client, a.key, a.timestamp, a.nonce)
		f.Add(client, uint8(1), int64(a.timestamp))
		f.Add(client, uint8(200), int64(0))
	}
	f.Add([]byte{2}, uint8(1), int64(1))
	f.Add(append([]byte{1}, AppendHeader(nil, Header{TypeAuthentication, ^uint64(0)})...), uint8(3), int64(1))
	f.Fuzz(func(t *testing.T, client []byte, chunk uint8, now int64) {
		key, nonce := countingKey(), Nonce{0xde, 0xad, 0xbe, 0xef}
		node := func() *Handshake {
			return &Handshake{
				Keys:  table{"client1": key},
				Now:   func() time.Time { return time.Unix(now, 0) },
				Nonce: func() Nonce { return nonce },
			}
		}
		whole := node()
		consumed, sent, done, err := whole.Step(client, nil)
		if err != nil {
			var rejection *Rejection
			if !errors.As(err, &rejection) {
				reason(t, err)
			}
		}
		if done != (whole.Name() == "client1") || done && err != nil {
			t.Errorf("accepted: %v, name %q, %v", done, whole.Name(), err)
		}
		if !done && err == nil && len(client)-consumed >= MaxHandshakeFrame {
			t.Errorf("%d bytes are not enough to decide", len(client)-consumed)
		}
		if want := login("client1", key, whole.timestamp, nonce); done && !bytes.Equal(client[:consumed], want) {
			t.Errorf("accepted % x, want only % x", client[:consumed], want)
		}

		split := node()
		sent2, consumed2, done2, err2 := converse(split, client, int(chunk)+1)
		if err != nil && whole.garbage() {
			if len(sent) > 0 {
				t.Errorf("garbage that comes with the version byte is answered with % x", sent)
			}
			sent = sent2 // which depends on what came alone
		}
		if !bytes.Equal(sent, sent2) || consumed != consumed2 || done != done2 || (err == nil) != (err2 == nil) {
			t.Errorf("in one: % x, %d, %v, %v; in chunks of %d: % x, %d, %v, %v",
				sent, consumed, done, err, int(chunk)+1, sent2, consumed2, done2, err2)
		}
	})
}

func FuzzFirstMessage(f *testing.F) {
	for _, m := range messages {
		f.Add(fromHex(f, m.hex)[FramePrefixSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		code, version, fields, err := ParseStart(payload)
		if err != nil {
			reason(t, err)
			return
		}
		if Supports(code, version) != Supported {
			return
		}
		var again []byte
		switch code {
		case CodePush:
			var p Push
			if p, err = ParsePush(fields); err == nil {
				within(t, payload, p.Value)
				again = push(1, string(p.Value), list(p.Channels)...)
			}
		case CodePop:
			var channel []byte
			if channel, err = ParsePop(fields); err == nil {
				within(t, payload, channel)
				again = AppendPop(nil, 1, string(channel))
			}
		case CodeConsume:
			var c Consume
			if c, err = ParseConsume(fields); err == nil {
				within(t, payload, c.Channel)
				within(t, payload, c.Subscriber)
				again = AppendConsume(nil, 1, string(c.Channel), string(c.Subscriber))
			}
		}
		if err != nil {
			reason(t, err)
			return
		}
		if !bytes.Equal(again[FramePrefixSize:], payload) {
			t.Errorf("encoded again: got % x, want % x", again[FramePrefixSize:], payload)
		}
	})
}

func FuzzFeedback(f *testing.F) {
	for _, payload := range []string{"", "\x01", "\x02", "\x03", "\x01\x00"} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := ParseFeedback(payload)
		if err != nil {
			reason(t, err)
			return
		}
		if again := AppendFeedback(nil, 1, got)[FramePrefixSize:]; !bytes.Equal(again, payload) {
			t.Errorf("encoded again: got % x, want % x", again, payload)
		}
	})
}

func FuzzReplies(f *testing.F) {
	for _, m := range messages {
		f.Add(fromHex(f, m.hex)[FramePrefixSize:])
	}
	same := func(t *testing.T, payload, frame []byte) {
		t.Helper()
		if !bytes.Equal(frame[FramePrefixSize:], payload) {
			t.Errorf("encoded again: got % x, want % x", frame[FramePrefixSize:], payload)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if s, err := ParseSupport(payload); err == nil {
			same(t, payload, AppendSupport(nil, 1, s))
		}
		if s, err := ParsePushStatus(payload); err == nil {
			same(t, payload, AppendPushStatus(nil, 1, s))
		}
		if s, err := ParseConsumeStatus(payload); err == nil {
			same(t, payload, AppendConsumeStatus(nil, 1, s))
		}
		if s, value, err := ParsePopReply(payload); err == nil && s == Popped {
			within(t, payload, value)
			same(t, payload, append(AppendPoppedPrefix(nil, 1, len(value)), value...))
		} else if err == nil {
			same(t, payload, AppendPopStatus(nil, 1, s))
		}
		switch message, batch, err := ParseConsumeMessage(payload); {
		case err != nil:
			reason(t, err)
		case message == Records:
			again := batch
			for value, ok := again.Next(); ok; value, ok = again.Next() {
				within(t, payload, value)
			}
			same(t, payload, records(1, list(batch)...))
		case message == Stopped:
			same(t, payload, AppendStopped(nil, 1))
		default:
			same(t, payload, AppendChannelRemoved(nil, 1))
		}
	})
}

// The node's frames of the handshake as a client decodes them.
func FuzzAuthenticationFrames(f *testing.F) {
	f.Add(fromHex(f, "02 0400000000000000 06 | deadbeef"))
	f.Add(fromHex(f, "02 0100000000000000 03 | 01"))
	f.Add(fromHex(f, "02 0100000000000000 03 | 00"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if nonce, err := ParseNonce(frame); err == nil {
			want := append(AppendHeader(nil, Header{TypeAuthentication, nonceSize}), nonce[:]...)
			if !bytes.Equal(frame, want) {
				t.Errorf("nonce of % x, want only of % x", frame, want)
			}
		} else {
			reason(t, err)
		}
		if ok, err := ParseVerdict(frame); err == nil {
			want := append(AppendHeader(nil, Header{TypeAuthentication, verdictSize}), rejected)
			if ok {
				want[HeaderSize] = accepted
			}
			if !bytes.Equal(frame, want) {
				t.Errorf("verdict of % x, want only of % x", frame, want)
			}
		} else {
			reason(t, err)
		}
	})
}
