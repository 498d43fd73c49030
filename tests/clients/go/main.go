// The driver of github.com/zishang520/socket.io: tests/js/stock/driver.mjs says what it reads and writes.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/zishang520/socket.io/clients/engine/v3"
	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	client "github.com/zishang520/socket.io/clients/socket/v3"
	server "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

type command struct {
	ID         int      `json:"id"`
	Do         string   `json:"do"`
	Socket     string   `json:"socket"`
	URL        string   `json:"url"`
	Namespace  string   `json:"namespace"`
	Namespaces []string `json:"namespaces"`
	Transports []string `json:"transports"`
	Token      string   `json:"token"`
	Event      string   `json:"event"`
	Args       []any    `json:"args"`
	Ack        []any    `json:"ack"`
}

type object = map[string]any

var (
	writing sync.Mutex
	sockets = map[string]map[string]*client.Socket{}
)

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var do command
		if err := json.Unmarshal(line, &do); err != nil {
			panic(err)
		}
		carryOut(do)
	}
}

func carryOut(do command) {
	if do.Do == "connect" {
		connect(do)
		return
	}
	socket := sockets[do.Socket][do.Namespace]
	args, _ := fromLine(do.Args).([]any)
	var err error
	switch do.Do {
	case "listen":
		err = socket.On(types.EventName(do.Event), func(args ...any) { received(do, args) })
	case "emit":
		err = socket.Emit(do.Event, args...)
	case "ask":
		err = socket.Emit(do.Event, append(args, server.Ack(func(values []any, err error) { answer(do, toLine(values), err) }))...)
		if err == nil {
			return
		}
	case "disconnect":
		for _, socket := range sockets[do.Socket] {
			socket.Disconnect()
		}
	}
	answer(do, nil, err)
}

func connect(do command) {
	known := map[string]engine.TransportCtor{"polling": transports.Polling, "websocket": transports.WebSocket}
	wanted := types.NewSet[engine.TransportCtor]()
	for _, name := range do.Transports {
		wanted.Add(known[name])
	}
	options := client.DefaultOptions()
	options.SetTransports(wanted)
	options.SetAuth(object{"token": do.Token})
	options.SetReconnectionDelay(50)
	options.SetReconnectionDelayMax(200)
	options.SetAutoConnect(false)
	manager := client.NewManager(do.URL, options)
	open := map[string]*client.Socket{}
	var missing atomic.Int32
	var answered sync.Once
	missing.Store(int32(len(do.Namespaces)))
	for _, namespace := range do.Namespaces {
		socket := manager.Socket(namespace, options)
		open[namespace] = socket
		_ = socket.On("connect", func(...any) {
			report("connect", do, namespace, nil)
			if missing.Add(-1) == 0 {
				answered.Do(func() { answer(do, nil, nil) })
			}
		})
		_ = socket.On("disconnect", func(args ...any) { report("disconnect", do, namespace, args[0]) })
		_ = socket.On("connect_error", func(args ...any) {
			// Those of a reconnection are not the answer.
			answered.Do(func() {
				for _, socket := range open {
					socket.Disconnect()
				}
				answer(do, nil, fmt.Errorf("%v", args[0]))
			})
		})
	}
	sockets[do.Socket] = open
	for _, socket := range open {
		socket.Connect()
	}
}

// received reports an event, and acks with what it is told, or with what the event brought.
func received(do command, args []any) {
	var ack server.Ack
	if len(args) > 0 {
		if last, ok := args[len(args)-1].(server.Ack); ok {
			ack, args = last, args[:len(args)-1]
		}
	}
	say(object{"report": "event", "socket": do.Socket, "namespace": do.Namespace, "event": do.Event, "args": toLine(args)})
	if ack == nil {
		return
	}
	if told, ok := fromLine(do.Ack).([]any); ok && do.Ack != nil {
		args = told
	}
	ack(args, nil)
}

func fromLine(value any) any {
	switch value := value.(type) {
	case []any:
		copied := make([]any, len(value))
		for index, inner := range value {
			copied[index] = fromLine(inner)
		}
		return copied
	case object:
		if text, ok := value["$binary"].(string); ok {
			bytes, _ := base64.StdEncoding.DecodeString(text)
			return types.NewBytesBuffer(bytes)
		}
		copied := object{}
		for key, inner := range value {
			copied[key] = fromLine(inner)
		}
		return copied
	}
	return value
}

func toLine(value any) any {
	switch value := value.(type) {
	case []byte:
		return object{"$binary": base64.StdEncoding.EncodeToString(value)}
	case types.BufferInterface:
		return toLine(value.Bytes())
	case io.Reader:
		bytes, _ := io.ReadAll(value)
		return toLine(bytes)
	case []any:
		copied := make([]any, len(value))
		for index, inner := range value {
			copied[index] = toLine(inner)
		}
		return copied
	case object:
		copied := object{}
		for key, inner := range value {
			copied[key] = toLine(inner)
		}
		return copied
	}
	return value
}

func report(what string, do command, namespace string, reason any) {
	say(object{"report": what, "socket": do.Socket, "namespace": namespace, "reason": fmt.Sprint(reason)})
}

func answer(do command, value any, err error) {
	if err != nil {
		say(object{"id": do.ID, "error": err.Error()})
		return
	}
	say(object{"id": do.ID, "value": value})
}

func say(message object) {
	writing.Lock()
	defer writing.Unlock()
	line, err := json.Marshal(message)
	if err != nil {
		line, _ = json.Marshal(object{"report": "error", "reason": err.Error()})
	}
	fmt.Println(string(line))
}
