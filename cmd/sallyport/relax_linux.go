package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// slack is how late the system may wake a thread of the bastion's that sleeps.
const slack = 500 * time.Microsecond

// relax lets the system be late. Go's scheduler sleeps for a few microseconds at a time,
// again and again, while there is just a little to do. Answering small statements one
// by one, the bastion would spend a fifth of its time on waking up for nothing; nothing
// that it does needs to be in time by less than a millisecond.
//
// The slack is a thread's (prctl(2), PR_SET_TIMERSLACK), and the threads of the scheduler
// are there before main begins. But a program begins with that of the thread which
// executed it, so this executes itself once more. Where that cannot be, it goes on as it is.
func relax() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if timerSlack() >= slack {
		return
	}
	const setTimerSlack = 29
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, setTimerSlack, uintptr(slack), 0); errno != 0 || timerSlack() < slack {
		return
	}
	if path, err := os.Executable(); err == nil {
		_ = syscall.Exec(path, os.Args, os.Environ()) // returns only if it fails
	}
}

// timerSlack is that of the thread.
func timerSlack() time.Duration {
	const getTimerSlack = 30
	n, _, errno := syscall.Syscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(n)
}
