package wal

// ReadReceipts calls fn with each line of the receipts in a state folder,
// oldest first, until fn fails. It only reads; damaged lines are passed over.
func ReadReceipts(dir string, fn func(line []byte) error) error {
	_, err := readLedger(dir, fn)
	return err
}
