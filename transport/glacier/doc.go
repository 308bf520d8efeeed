// Package glacier is the destination in a vault of Amazon Glacier.
//
// A vault is not a bucket, and what follows from that is settled here:
//
//   - Archives have no keys. What the engine calls key and metadata goes into the
//     archive's description, which is fixed when its upload begins, so that an
//     inventory alone can rebuild the catalogue; unfinished uploads are found by it.
//   - The only name of an archive is the ID in the reply to its completion. So
//     nothing goes out by UploadArchive, whose reply once lost leaves an archive
//     that nobody knows: the smallest archive is a multipart upload of one part.
//   - A part wants two hashes, SHA-256 of its bytes and of the tree over its MiBs.
//     Both are made as the bytes are kept, with nothing but the open leaf and the
//     roots of whole subtrees in memory, saved with the slot; the archive's is made
//     of the parts'. So a body is read once, while it is sent.
//   - An upload without a call for 24 hours may be no more. It is begun again,
//     from bytes that are still kept.
//
// Each call is one attempt of the SDK's client. The package must never retry,
// log, buffer a body, or let the SDK read configuration from its surroundings.
//
// # What becomes of a reply that was not seen
//
// Complete is repeated. While the service remembers, it answers with the same
// archive ID. Once it does not know the upload any more:
//
//	its parts are listed all the same      not true: tried again
//	no Complete was sent before            expired: sent again as a new upload
//	one was, and in_doubt is keep          the receipt is in doubt
//	one was, and in_doubt is resend        sent again as a new upload
//
// A receipt in doubt says which vault, size, tree hash and description to look for
// in an inventory, and dray verify --inventory looks. Sent again, an archive may
// be there twice, and each costs; audit shows it as an overlap.
//
// # Complete, line by line
//
// Every sentence of the service's reference for this call, and every rule of its
// developer guide for the others, where it is handled, and the tests that prove
// it. A test reads this table and fails for a name that does not exist.
//
//	the parts are there: assemble the archive | Destination.Complete | TestGlacierKeepsTheContract
//	returns the URI path of the archive | Destination.Complete, transport.Receipt | TestAReceiptHoldsAllThatFindsTheArchive
//	save the archive ID | transport.Receipt, Destination.Describe | TestAReceiptHoldsAllThatFindsTheArchive
//	the vault inventory lists archive IDs, InitiateJob | Destination.StartJob, Destination.Jobs, Destination.ReadJob, ReadInventory | TestAnInventoryIsFetchedOnceItsJobIsDone, TestAnInventoryTellsOfEachArchive
//	must include the tree hash of the whole archive | treeOf, push, root | TestAnArchivesTreeHashIsMadeOfItsParts
//	how a tree hash is computed | digest | TestBothHashesAreThoseOfAnotherImplementation, TestBothHashesAreThePublishedOnes
//	the service builds it too: another is an error | Destination.nameWrong | TestACompleteThatIsRefusedNamesTheWrongParts
//	ListParts has the checksum of each part | Destination.Parts, readPart | TestACompleteThatIsRefusedNamesTheWrongParts, TestTenThousandPartsAreListedPageByPage
//	missing content ranges are an error | Destination.nameWrong | TestACompleteThatIsRefusedNamesTheWrongParts
//	idempotent: again gives the same archive ID | Destination.Complete | TestALostReplyOfCompleteIsSettledByRepeatingIt
//	after an aborted connection or a 500, repeat | link.Unanswered, Destination.classify | TestALostReplyOfCompleteIsSettledByRepeatingIt, TestRepliesMeanWhatTheySay
//	for a short period only | Destination.settle | TestAnUploadThatIsForgottenIsInDoubt, TestInDoubtIsSentAgainByPolicyOnly
//	note: ListParts and ListMultipartUploads do not show what was completed | Destination.settle | TestAnUploadThatIsForgottenIsInDoubt, TestAFalseWordOfAGoneUploadIsFoundOut
//	IAM users need permission for each action | actions, Destination.classify, Destination.Lacks | TestARefusalNamesThePermission
//	AccountId: of the owner, or - | Config.check, Destination.Complete | TestNewRefusesWhatCannotWork, TestAnotherAccountIsDenied
//	VaultName | Config.check, Destination.classify | TestNewRefusesWhatCannotWork, TestAVaultThatIsNotThereIsForTheOperator
//	UploadId | Destination.Complete | TestGlacierKeepsTheContract
//	ArchiveSize: the sum of the parts | transport.Object.CheckParts, Destination.Complete | TestACompleteThatIsRefusedNamesTheWrongParts, TestGlacierKeepsTheContract
//	Checksum: the tree hash of the parts' tree hashes | treeOf | TestAnArchivesTreeHashIsMadeOfItsParts
//	Checksum: required, another fails | Destination.Complete, Destination.nameWrong | TestACompleteThatIsRefusedNamesTheWrongParts
//	Location: relative URI of the archive | Destination.Complete | TestAReceiptHoldsAllThatFindsTheArchive, TestNoLieIsTakenForSuccess
//	Checksum in the reply: as the service computed it | Destination.Complete, parseNode | TestNoLieIsTakenForSuccess
//	ArchiveId: also part of the location | Destination.Complete | TestAReceiptHoldsAllThatFindsTheArchive
//	guide: part size 1 MiB times a power of two, to 4 GiB | Destination.Create, Destination.Limits, Config.check | TestPartSizesAreThoseThatGlacierTakes
//	guide: at most 10,000 parts | checkPart, maxParts | TestTenThousandPartsAreListedPageByPage, TestGlacierKeepsTheContract
//	guide: parts are equal but the last | checkPart | TestGlacierKeepsTheContract
//	guide: x-amz-content-sha256 and tree hash with each part | hashed, Destination.UploadPart | TestAPartIsReadOnceAndSentInOneRequest
//	guide: Content-Range aligned to the part size | Destination.UploadPart, checkPart | TestGlacierKeepsTheContract
//	guide: a short part that is not last fails at the end | checkPart, Destination.nameWrong | TestACompleteThatIsRefusedNamesTheWrongParts
//	guide: the last upload of a range wins | Destination.UploadPart | TestGlacierKeepsTheContract
//	guide: an idle upload is no more after 24 hours | maxIdle, Destination.settle | TestAnIdleUploadIsGone
//	guide: abort of what was completed fails | Destination.Abort | TestAnAbortOfWhatWasCompletedIsSettled
//	guide: description of 1,024 printable ASCII characters | describe, parseDescription | TestADescriptionComesBack, TestADescriptionThatIsTooLongIsRefused
//	guide: lists come in pages of 50 or 1,000 | Destination.list, Destination.parts | TestTenThousandPartsAreListedPageByPage, TestAListThatDoesNotEndIsRefused
//	guide: errors are JSON with code, message and type | Destination.classify, kinds | TestRepliesMeanWhatTheySay
//	guide: ThrottlingException is a 400, ServiceUnavailableException a 500 | kinds | TestRepliesMeanWhatTheySay
//	guide: NoLongerSupportedException is final | kinds, hints | TestRepliesMeanWhatTheySay
package glacier
