package main

// Syncs that no power cut shows, each with what it is there for.
//
// One rule is not among the mutants either: that each frame begins on a block of
// its own. On this disk a sector that is written again holds its old bytes or its
// new ones, so kept bytes in it are safe. The rule is for flash that writes in
// larger blocks, and for its wear.
var otherSyncs = []struct{ file, text, why string }{
	{file: "wal/slots.go", text: "return d.Sync()", why: "what the others call"},
	{file: "wal/store.go", text: "if err := st.Sync(); err != nil {", why: "a Stream's, which is below"},
	{file: "transport/local/files.go", text: "err = f.Sync()\n\tif errors.Is(err, unix.EINVAL)", why: "what the others call"},
	{file: "transport/local/upload.go", text: "syncFolder(root, uploadsDir))", why: "traffic: an upload that is lost is begun again, and all its parts sent"},
	{file: "transport/local/record.go", text: "return f.Sync()", why: "traffic: a part whose record is lost is sent again"},
	{file: "wal/slots.go", text: "if err := f.Sync(); err != nil {", why: "speed: the first sync of a stream would else write the whole slot; all that is in the slot by then is zeros"},
	{file: "wal/ledger_keep.go", text: "\t\terr = file.Sync()\n\t}\n\tif err = errors.Join(err, file.Close()); err == nil {\n\t\terr = os.Rename(path+\".new\", path)\n\t}\n\tif err == nil {\n\t\terr = syncDir(dir)", why: "the mark of an export, which no scene of the search makes"},
	{file: "wal/identity.go", text: "return syncDir(s.dir)", why: "a spool whose journal has rotted away is set aside; a cut finds it again"},
	{file: "wal/journal_start.go", text: "return to, syncDir(j.dir)", why: "a generation that has rotted is set aside; a cut finds it again"},
	{file: "wal/journal_reserve.go", text: "return errors.Join(err, syncDir(j.dir)) == nil", why: "a full disk: the blocks are free for others behind it"},
	{file: "wal/ledger.go", text: "\t\terr = file.Truncate(l.end)\n\t}\n\tif err == nil {\n\t\terr = file.Sync()\n\t}\n", why: "a failed sync: the line that was cut off is written again, and must not come back"},
	{file: "wal/ledger.go", text: "\tif err == nil {\n\t\terr = file.Sync()\n\t}\n\tif err := errors.Join(err, file.Close()); err != nil {\n\t\treturn err\n\t}\n\treturn syncDir(l.dir)", why: "bytes set aside for the operator, which no acknowledged line is in"},
}
