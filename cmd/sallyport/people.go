package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/store"
)

// peopleFile lists who has signed in, with their groups, for `check --explain`:
// the store itself belongs to the running bastion alone.
const peopleFile = "people.json"

// notePeople writes the list if it changed.
func (s *server) notePeople() error {
	data, err := json.MarshalIndent(s.keeper.People(), "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.config.State, peopleFile)
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	tmp, err := os.CreateTemp(s.config.State, peopleFile)
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return os.Rename(tmp.Name(), path)
}

// lookUp finds a person by name or e-mail among those who have signed in.
func lookUp(state, name string) (bastion.Identity, error) {
	data, err := os.ReadFile(filepath.Join(state, peopleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return bastion.Identity{}, errors.New("nobody has signed in yet")
	}
	if err != nil {
		return bastion.Identity{}, err
	}
	var people []bastion.Identity
	if err := json.Unmarshal(data, &people); err != nil {
		return bastion.Identity{}, fmt.Errorf("reading %s: %w", peopleFile, err)
	}
	var found []bastion.Identity
	var names []string
	for _, p := range people {
		if p.Name == name || p.Email == name {
			found = append(found, p)
		}
		names = append(names, p.Name)
	}
	if len(found) != 1 {
		if len(found) > 1 {
			return bastion.Identity{}, fmt.Errorf("%q is the name of %d people; use the e-mail address", name, len(found))
		}
		return bastion.Identity{}, errors.New(policy.Unknown("person", name, names))
	}
	return found[0], nil
}

// present refuses a state directory in which people have been, and whose store is gone:
// to begin anew would be to forget the log, the requests and the policy in force.
func present(state string) error {
	if _, err := os.Stat(filepath.Join(state, peopleFile)); err != nil {
		return nil // nobody was here
	}
	info, err := os.Stat(store.Path(state))
	if err == nil && info.Size() > 0 {
		return nil
	}
	return fmt.Errorf("people have used this bastion, but its store %s is gone or empty, and with it the log, the requests and the policy in force; put back a copy, or take away all of %s to begin anew", store.Path(state), state)
}

// private refuses a directory of state that others can look into: what they can list
// they can watch, and what they can write to they can exchange. One that is not there
// yet is made with the mode that it should have.
func private(state string) error {
	info, err := os.Stat(state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the directory of state: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("the directory of state %s is open to others (mode %04o), and has to be the bastion's alone; chmod 700 it, or name another one in the configuration", state, mode)
	}
	return nil
}
