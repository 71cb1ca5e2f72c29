// Reaching the channel behind the terminal, past the recorder.
// want: channel undefined
package main

import "github.com/sallyport/sallyport/bastion"

func show(t *bastion.Terminal) { t.channel.Write([]byte("unrecorded")) }

func main() { _ = show }
