package main

func allMutants() []mutant { return append(append([]mutant(nil), syncMutants...), orderMutants...) }

// Each rule of what comes before what, and of what counts.
var orderMutants = []mutant{
	// The spool.
	drop("roll-durable", "a Roll is durable before its slot's bytes count", everywhere, "wal/sync.go",
		"err = s.store.Commit(Fact{Kind: Roll,", "s.store.Note(Fact{Kind: Roll,").at("^cut .*header of a slot"),
	drop("roll-position", "a Roll tells where the source stood", everywhere, "wal/sync.go",
		"Start: base, Epoch: s.keptID, Size: s.keptOff}", "Start: base}").at("^cut .*header of a slot"),
	drop("slot-old", "the old slot is synced before the first write to the new", everywhere, "wal/sync.go",
		"if err == nil && dirty {", "if err == nil && dirty && n == len(items) {"),
	several("kept-early", "no fact and no mark names an offset before its sync", everywhere,
		edit{"wal/sync.go", "\t\tif err == nil && dirty {", "\t\tn = complete(items[:n])\n\t\ts.keep(items[:n])\n\t\tif err == nil && dirty {"},
		edit{"wal/sync.go", "\t\tn = complete(items[:n])\n\t\ts.keep(items[:n])\n\t\tif left", "\t\tif left"}),
	drop("frame-crc", "a frame's payload is checked", everywhere, "wal/scan.go",
		"crc32.Checksum(payload, castagnoli) == h.crc, nil", "h.crc == crc32.Checksum(payload, castagnoli) || len(payload) > 0, nil").at("^cut sync slot"),
	drop("frame-run", "a later run outranks an earlier one", everywhere, "wal/frame.go",
		"h.run >= run &&", "(run == 0 || run != 0) &&").at("^twice sync slot"),
	drop("frame-stream", "a frame belongs to the stream", everywhere, "wal/frame.go",
		"return h.stream == id.stream && h.epoch == id.epoch && h.run", "return h.run"),
	drop("frame-offset", "a frame begins where its predecessor ended", everywhere, "wal/frame.go",
		"\n\t\th.offset-h.skip <= at && at <= h.offset", "\n\t\tat <= h.offset"),
	drop("record-whole", "a record is kept whole or not at all", everywhere, "wal/sync.go",
		"\t\tn = complete(items[:n])\n", ""),
	drop("record-found", "start-up takes no record whose rest is missing", everywhere, "wal/recover.go",
		"\tcase r.group != nil: // the last", "\tcase r.group != nil && len(r.group) == 0: // the last").at("^cut (write|sync) slot"),
	drop("record-wiped", "start-up wipes the beginning of a record that it gives up", everywhere, "wal/recover.go",
		"r.whole, r.group[0], true", "r.whole, r.group[0], false").at("^twice (write|sync) slot"),

	// The journal.
	drop("run-durable", "a start-up's run is durable before anything is written in it", everywhere, "wal/identity.go",
		"\tif news, err := s.Observe(s.now()); news || err != nil {\n\t\treturn err\n\t}\n\treturn s.Commit()\n", "\treturn nil\n"),
	drop("generation-order", "the old generation is removed behind the commit of the new", everywhere, "wal/journal.go",
		"\tj.number, j.highest = next, next\n", "\tj.number, j.highest = next, next\n\tj.removeOld()\n"),
	drop("journal-torn", "nothing is written behind a torn tail", everywhere, "wal/journal_start.go",
		" && found.torn == 0 {", " {").at("^(cut|twice) sync journal log"),
	drop("journal-gap", "behind a gap only what a later append followed is replayed", everywhere, "wal/journal_scan.go",
		"&& (!f.more || f.index < s.acked)", "").at("^cut sync journal log"),

	// Objects.
	several("receipt-first", "a receipt is durable before its bytes are freed", everywhere,
		edit{"engine/receipts.go", "\tif err := e.store.Receipt(b)", "\tif err := e.store.Commit(wal.Fact{Kind: wal.Freed, Stream: t.id.stream, Start: t.id.start}); err != nil {\n\t\treturn err\n\t}\n\tif err := e.store.Receipt(b)"},
		edit{"engine/receipts.go", "\te.store.Note(wal.Fact{Kind: wal.Freed, Stream: t.id.stream, Start: t.id.start})\n\te.announce", "\te.announce"}).at("^cut (write|sync) receipts"),
	drop("freed-durable", "Freed is durable before its slot is written", everywhere, "wal/store.go",
		"\t\ts.pending, noted = append(s.pending, rec), append(noted, facts[i])\n", "\t\tif noted = append(noted, facts[i]); facts[i].Kind == Freed {\n\t\t\tcontinue\n\t\t}\n\t\ts.pending = append(s.pending, rec)\n"),
	drop("receipt-once", "start-up frees what has its receipt", everywhere, "engine/receipts.go",
		"if len(open) == 0 {", "if len(open) >= 0 {").at("receipts"),
	drop("completed-durable", "Completed is durable before its receipt", everywhere, "engine/work.go",
		"e.done(r, wal.Fact{Kind: wal.Completed,", "e.store.Note(wal.Fact{Stream: r.id.stream, Start: r.id.start, Kind: wal.Completed,").at("^cut .*receipts"),
	drop("intent-create", "the intent of a create is durable before the call", everywhere, "engine/work.go",
		"actCreate: wal.OpCreate, ", "").at("behind CreateMultipartUpload"),
	drop("intent-put", "the intent of a put is durable before the call", everywhere, "engine/work.go",
		"actPut: wal.OpPut, ", "").at("behind PutObject"),
	drop("intent-complete", "the intent of a complete is durable before the call", everywhere, "engine/work.go",
		", actComplete: wal.OpComplete}", "}").at("behind CompleteMultipartUpload"),
	drop("create-swept", "what a create left whose reply was not seen is ended", everywhere, "engine/begin.go",
		"\tif r.op == wal.OpCreate {\n", "\tif r.op == wal.OpCreate && r.task.id.start < 0 {\n").at("behind CreateMultipartUpload"),
	drop("abort-first", "the upload of a dropped object is ended before the object is forgotten", everywhere, "engine/next.go",
		"\tcase o.Dropped && (up.ID != \"\" || up.Op == wal.OpCreate):\n\t\treturn step{action: actAbort}\n", ""),

	// The local destination.
	several("local-record-last", "a part's record is written behind its bytes", onDisk,
		edit{"transport/local/upload.go", "\tif err := copyBody(ctx, io.NewOffsetWriter(data, p.Offset)", "\tif err := writeSync(parts, encodeRecord(p), int64(p.Number-1)*recordSize); err != nil {\n\t\treturn err\n\t}\n\tif err := copyBody(ctx, io.NewOffsetWriter(data, p.Offset)"}).at("^cut sync upload's data"),
	several("local-claim-first", "a key is claimed before the object gets it", onDisk,
		edit{"transport/local/publish.go", "\tif err := claim(root, id, o); err != nil {\n\t\treturn err\n\t}\n\tif err := makeFolders", "\tif err := makeFolders"},
		edit{"transport/local/publish.go", "\t\treturn unsure(err)\n\t}\n\treturn nil\n}\n\n// claim gives", "\t\treturn unsure(err)\n\t}\n\treturn claim(root, id, o)\n}\n\n// claim gives"}).at("^cut (rename|sync folder|mkdir)"),
}
