package idp

// NormalCode and Visible are tested with made-up input of all kinds.
var (
	NormalCode = normalCode
	Visible    = visible
)
