// Package processtest runs programs in tests, where only a process can be killed as processes are. It knows nothing of what they do.
package processtest

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Process is a program that runs until the test ends or it is killed. If the test fails, what it said is told.
type Process struct {
	t       testing.TB
	command func() *exec.Cmd
	running *exec.Cmd
}

// Start runs a program with variables added to the test's environment.
func Start(t testing.TB, env []string, name string, args ...string) *Process {
	t.Helper()
	said := new(bytes.Buffer)
	p := &Process{t: t, command: func() *exec.Cmd {
		c := exec.Command(name, args...)
		c.Env = append(os.Environ(), env...)
		c.Stdout, c.Stderr = said, said
		c.WaitDelay = time.Second
		return c
	}}
	p.Restart()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s: %s", name, said.Bytes()[max(0, said.Len()-2000):])
		}
	})
	return p
}

// Restart runs the program again, which was killed.
func (p *Process) Restart() {
	p.t.Helper()
	p.running = p.command()
	if err := p.running.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends the process without any farewell.
func (p *Process) Kill() {
	p.running.Process.Kill()
	p.running.Wait()
}

// Signal sends the process a signal.
func (p *Process) Signal(sig os.Signal) { p.running.Process.Signal(sig) }

// PID is the process's number.
func (p *Process) PID() int { return p.running.Process.Pid }

// Port is a TCP port of the loopback interface that nobody listens on. It is below those that the kernel gives to whoever asks for any:
// between here and its use, another test's connection could get one of those.
func Port(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Address is 127.0.0.1 with such a port.
func Address(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + Port(t)
}

// Eventually waits for what another process does on its own time.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
