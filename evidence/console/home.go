package console

// home is what needs attention now.
func home(q *request) (*view, error) {
	return &view{name: "home", title: "Home"}, nil
}
