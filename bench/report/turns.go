// turns.go runs builds of a runner in turns, through BENCH_STEP: before each round a
// runner writes a byte and waits for one, so only one of them works at any time.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// A player is a runner that takes turns.
type player struct {
	cmd   *exec.Cmd
	turn  *os.File // a byte written here is its turn
	over  *os.File // a byte read here says that it wants one
	out   bytes.Buffer
	err   bytes.Buffer
	waits bool
}

// startPlayer starts the runner; await waits until it wants its first turn, or ends.
func startPlayer(command []string, args ...string) (*player, error) {
	in, turn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	over, out, err := os.Pipe()
	if err != nil {
		turn.Close()
		return nil, err
	}
	defer out.Close()
	p := &player{cmd: exec.Command(command[0], append(command[1:len(command):len(command)], args...)...), turn: turn, over: over}
	p.cmd.Env = append(os.Environ(), "BENCH_STEP=3,4")
	p.cmd.ExtraFiles = []*os.File{in, out}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		turn.Close()
		over.Close()
		return nil, err
	}
	return p, nil
}

// await waits until the player wants a turn, or has ended.
func (p *player) await() {
	var one [1]byte
	n, _ := p.over.Read(one[:])
	p.waits = n == 1
}

// play gives the players their turns until all have ended; who begins changes.
// The texts that they have printed are returned in their order.
func play(players []*player) ([][]byte, error) {
	defer func() {
		for _, p := range players {
			p.end()
		}
	}()
	for turn := 0; ; turn++ {
		playing := 0
		for i := range players {
			p := players[(turn+i)%len(players)]
			if !p.waits {
				continue
			}
			playing++
			p.turn.Write([]byte{1})
			p.await()
		}
		if playing == 0 {
			break
		}
	}
	texts := make([][]byte, len(players))
	for i, p := range players {
		if err := p.cmd.Wait(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(p.err.Bytes()))
		}
		texts[i] = p.out.Bytes()
	}
	return texts, nil
}

func (p *player) end() {
	p.turn.Close()
	p.over.Close()
	if p.cmd.ProcessState == nil {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.cmd.Wait()
	}
}
