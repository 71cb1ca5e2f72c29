package task_test

import (
	"reflect"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// What is done to a clone is not done to the task.
func TestCloneSharesNothing(t *testing.T) {
	made := func() task.Task {
		results := func() []task.Result { return []task.Result{{Error: "no"}} }
		return task.Task{
			Votes:    []bastion.Vote{{Reason: "yes"}},
			Progress: []task.Progress{{State: task.StepDone, Results: results(), Earlier: []task.Attempt{{Session: "s", Results: results()}}}},
			Resumed:  []task.Resumption{{Votes: []bastion.Vote{{Reason: "go on"}}}},
			History:  []task.Entry{{What: "made"}},
		}
	}
	original := made()
	c := original.Clone()
	c.Votes[0].Reason, c.History[0].What = "x", "x"
	c.Progress[0].Results[0].Error = "x"
	c.Progress[0].Earlier[0].Results[0].Error = "x"
	c.Progress[0].Earlier[0].Session = "x"
	c.Progress[0].State = ""
	c.Resumed[0].Votes[0].Reason = "x"
	if want := made(); !reflect.DeepEqual(original, want) {
		t.Errorf("got  %+v\nwant %+v", original, want)
	}
}
