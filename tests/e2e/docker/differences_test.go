package docker_test

// differences are the lines whose outcomes may differ, with the reason. A line
// that does not differ any more must not be listed.
func differences() map[string]string { return map[string]string{} }
