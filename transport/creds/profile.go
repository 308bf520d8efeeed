package creds

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/seed-7270d448/dray/transport"
)

// Profile is a profile of AWS's shared files, as the AWS CLI writes them. They
// are read anew when they change. A profile holds keys or names a
// credential_process; one that gets its keys from another service (role_arn,
// sso_session, web_identity_token_file) is refused: let a process do that.
type Profile struct {
	Name            string // "default" if that is what is meant
	CredentialsFile string // such as ~/.aws/credentials; "" for none
	ConfigFile      string // such as ~/.aws/config; "" for none
}

// String returns "profile NAME".
func (p Profile) String() string { return "profile " + p.Name }

// Issue reads the files and, if the profile has no keys but a process, runs that.
func (p Profile) Issue(ctx context.Context) (Keys, error) {
	s, err := p.read()
	if err != nil {
		return Keys{}, fail(transport.Denied, "%s: %w", p, err)
	}
	if s.process == nil {
		s.keys.files = s.files
		return s.keys, nil
	}
	keys, err := s.process.Issue(ctx)
	keys.files = s.files
	return keys, err
}

// Check reads the files as Issue does, runs nothing, and returns the region that
// the profile names, "" if it names none. Its errors hold no secret.
func (p Profile) Check() (region string, err error) {
	s, err := p.read()
	return s.region, err
}

// settings is what the files say of a profile.
type settings struct {
	keys    Keys
	process *Process // nil if there are keys
	region  string
	files   []stamp
}

// elsewhere are names that send one to another service for keys.
var elsewhere = []string{"role_arn", "sso_session", "sso_start_url", "web_identity_token_file", "credential_source", "source_profile", "login_session"}

// read returns the profile's settings. Keys in the credentials file go before
// those in the config file, and keys before a process.
func (p Profile) read() (settings, error) {
	var s settings
	var found []section
	for _, f := range []struct{ path, name string }{
		{p.CredentialsFile, p.Name},
		{p.ConfigFile, "profile " + p.Name},
	} {
		if f.path == "" {
			continue
		}
		sec, mark, err := readSection(f.path, f.name, p.Name)
		s.files = append(s.files, mark)
		if err != nil {
			return s, err
		}
		if sec != nil {
			found = append(found, sec)
		}
	}
	if len(found) == 0 {
		return s, fmt.Errorf("there is none in %s", p.paths())
	}
	var command string
	for _, sec := range found {
		if s.region == "" {
			s.region = sec["region"]
		}
		if command == "" {
			command = sec["credential_process"]
		}
		if keys := sec.keys(); s.keys.AccessKeyID == "" && keys.AccessKeyID != "" {
			s.keys = keys
		}
	}
	if s.keys.AccessKeyID != "" {
		return s, s.keys.check()
	}
	if command != "" {
		split, err := SplitCommand(command)
		if err != nil {
			return s, fmt.Errorf("credential_process: %w", err)
		}
		s.process = &Process{Command: split}
		return s, nil
	}
	for _, sec := range found {
		for _, name := range elsewhere {
			if sec[name] != "" {
				return s, fmt.Errorf("%s is not supported; name a credential_process that gets the keys", name)
			}
		}
	}
	return s, errors.New("it has neither aws_access_key_id nor credential_process")
}

func (p Profile) paths() string {
	switch {
	case p.CredentialsFile == "":
		return p.ConfigFile
	case p.ConfigFile == "":
		return p.CredentialsFile
	}
	return p.CredentialsFile + " and " + p.ConfigFile
}

// readSection returns the section of a profile, nil if the file or the section
// is absent. A file that others can write could run any program, and one that
// others can read must hold no secret.
func readSection(path, name, bare string) (section, stamp, error) {
	text, mode, mark, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mark, nil
	}
	if err != nil {
		return nil, mark, err
	}
	if mode.Perm()&0o022 != 0 {
		return nil, mark, fmt.Errorf("%s can be written by others (mode %04o); chmod 600 %s", path, mode.Perm(), path)
	}
	sections, err := parseINI(text)
	if err != nil {
		return nil, mark, fmt.Errorf("%s: %w", path, err)
	}
	s := sections[name]
	if len(s) == 0 && bare == "default" {
		s = sections["default"]
	}
	if mode.Perm()&0o044 != 0 && s.keys().SecretAccessKey.Reveal() != "" {
		return nil, mark, exposed(path, mode)
	}
	if len(s) == 0 {
		return nil, mark, nil
	}
	return s, mark, nil
}
