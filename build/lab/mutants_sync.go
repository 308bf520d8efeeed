package main

const (
	everywhere = "s3,local,full"
	onDisk     = "local"
)

// drop is a mutant that lacks one line of code.
func drop(name, rule, scenes, file, old, new string) mutant {
	return several(name, rule, scenes, edit{file, old, new})
}

// several is a mutant that differs in more than one place.
func several(name, rule, scenes string, edits ...edit) mutant {
	return mutant{name: name, rule: rule, scenes: scenes, edits: edits}
}

// Each sync of a file or folder, in the order in which they stand in the code.
var syncMutants = []mutant{
	// The spool.
	drop("slot-sync", "the slot is synced before its frames are kept", everywhere, "wal/sync.go",
		"return fdatasync(s.slot.f)", "return nil"),
	drop("slot-reopen", "start-up syncs the tail before it is trusted", everywhere, "wal/recover.go",
		"err = fdatasync(f)", "err = nil").at("^kill .*slot"),
	drop("slot-named", "the name of a new slot is synced before it is used", everywhere, "wal/slots.go",
		"if err := os.Rename(path+\".new\", path); err != nil {\n\t\treturn err\n\t}\n\treturn syncDir(p.dir)",
		"return os.Rename(path+\".new\", path)"),
	drop("slot-found", "start-up syncs the names of slots before they are trusted", everywhere, "wal/slots.go",
		"return p, syncDir(dir)", "return p, nil").at("^kill sync folder spool"),

	// The state folder.
	drop("state-found", "start-up syncs the name of the state folder that it finds", everywhere, "wal/identity.go",
		"if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {\n\t\t\treturn err\n\t\t}\n", "").at("^kill sync folder root"),
	drop("state-made", "the name of a new state folder is synced", everywhere, "wal/identity.go",
		"\treturn syncDir(parent)\n}", "\treturn nil\n}"),

	// The journal.
	drop("journal-append", "facts are synced before they are true", everywhere, "wal/journal.go",
		"AllowEmpty:       true,", "AllowEmpty:       true,\n\t\tNoSync: true,"),
	drop("journal-found", "start-up syncs the names of generations before they are trusted", everywhere, "wal/journal_start.go",
		"\tif err := syncDir(j.dir); err != nil {\n\t\treturn journalReport{}, err\n\t}\n", "").at("^kill sync folder journal"),
	drop("generation-file", "snapshot and log are synced before the generation gets its name", everywhere, "wal/journal_write.go",
		"err = file.Sync()", "err = nil"),
	drop("generation-log", "the name of the log is synced before the generation gets its name", everywhere, "wal/journal_write.go",
		"if err := syncDir(filepath.Join(folder, journalLogName)); err != nil {\n\t\treturn 0, err\n\t}\n", ""),
	drop("generation-names", "the names in a generation are synced before it gets its own", everywhere, "wal/journal_write.go",
		"return size, syncDir(folder)", "return size, nil"),
	drop("generation-commit", "the name of a generation is synced before facts go there", everywhere, "wal/journal_write.go",
		"\terr := os.Rename(name+\".new\", name)\n\tif err == nil {\n\t\terr = syncDir(dir)\n\t}\n", "\terr := os.Rename(name+\".new\", name)\n").at("^cut (sync folder journal|rename generation|write journal log)"),
	drop("generation-old", "a generation is renamed durably before it is removed", everywhere, "wal/journal_write.go",
		"\tif err := syncDir(dir); err != nil {\n\t\treturn err\n\t}\n", "").at("^cut (unlink|rmdir)"),

	// The receipts.
	drop("receipt-sync", "a receipt is synced before its bytes are freed", everywhere, "wal/ledger.go",
		"_, err = l.file.WriteAt(sealed, l.end)\n\tif err == nil {\n\t\terr = l.file.Sync()\n\t}\n", "_, err = l.file.WriteAt(sealed, l.end)\n"),
	drop("receipts-found", "start-up syncs the receipts that it finds", everywhere, "wal/ledger.go",
		"\treturn l.file.Sync()\n}", "\treturn nil\n}").at("^kill sync receipts"),
	drop("receipts-named", "start-up syncs the names of receipt files", everywhere, "wal/ledger.go",
		"return notes, syncDir(l.dir)", "return notes, nil").at("^kill (sync folder state|write receipts)"),
	drop("receipts-begun", "the name of a new file of receipts is synced", everywhere, "wal/ledger.go",
		"\tif err == nil {\n\t\terr = syncDir(l.dir)\n\t}\n\tif err != nil {\n\t\treturn errors.Join(err, file.Close())", "\tif err != nil {\n\t\treturn errors.Join(err, file.Close())").at("^cut (write|sync) receipts"),

	// The local destination.
	drop("local-folders", "the names of folders are synced", onDisk, "transport/local/files.go",
		"return syncFolder(root, path.Dir(dir))", "return nil"),
	drop("local-new-file", "a claim and the files of an upload are synced", onDisk, "transport/local/files.go",
		"\t_, err = f.Write(b)\n\tif err == nil {\n\t\terr = f.Sync()\n\t}\n", "\t_, err = f.Write(b)\n"),
	drop("local-upload-names", "the names in an upload are synced", onDisk, "transport/local/upload.go",
		"errors.Join(syncFolder(root, path.Join(uploadsDir, id)), syncFolder(root, uploadsDir))", "syncFolder(root, uploadsDir)"),
	drop("local-part", "a part's bytes are synced before its record", onDisk, "transport/local/upload.go",
		"\tif err := data.Sync(); err != nil {\n\t\treturn err\n\t}\n", ""),
	drop("local-put", "a put's bytes are synced before it is published", onDisk, "transport/local/publish.go",
		"\tif err == nil {\n\t\terr = f.Sync()\n\t}\n\treturn errors.Join(err, f.Close())", "\treturn errors.Join(err, f.Close())"),
	drop("local-left", "that a put's leftover is removed is synced", onDisk, "transport/local/publish.go",
		"\tif err := syncFolder(root, uploadsDir); !errors.Is(err, os.ErrNotExist) {\n\t\treturn err\n\t}\n\treturn nil\n", "\treturn nil\n").at("^kill (sync folder folder of uploads|rmdir)"),
	drop("local-publish", "an object's name is synced", onDisk, "transport/local/publish.go",
		"\tif err := syncFolder(root, path.Dir(o.Key)); err != nil {\n\t\treturn unsure(err)\n\t}\n", ""),
	drop("local-claim", "a claim's name is synced before the object gets its own", onDisk, "transport/local/publish.go",
		"return syncFolder(root, path.Dir(dst))", "return nil"),
	drop("local-present", "an object that is there already is synced before it counts", onDisk, "transport/local/publish.go",
		"\t\tif err := syncFolder(root, dir); err != nil {\n\t\t\treturn false, err\n\t\t}\n", "").at("^kill sync folder archive"),
	drop("local-removed", "a removed upload is gone for good", onDisk, "transport/local/upload.go",
		"\terr := syncFolder(root, uploadsDir)\n\tif errors.Is(err, os.ErrNotExist) {\n\t\treturn nil\n\t}\n\treturn err\n", "\treturn nil\n"),
	drop("local-trim", "an upload that was cut off is synced", onDisk, "transport/local/publish.go",
		"\tif err := f.Truncate(size); err != nil {\n\t\treturn err\n\t}\n\treturn f.Sync()", "\treturn f.Truncate(size)"),
}
