// Package s3 is the destination in a bucket of Amazon S3 or of a server that
// speaks its protocol.
//
// Each call is one attempt of the SDK's client, without its retries, its
// upload managers and its defaults for checksums. What S3 servers do not agree
// on is settled here and nowhere else:
//
//   - Every part and object carries a checksum as a plain header, and the body
//     is checked against its CRC32C while it is sent, so that a wrong byte is
//     never sent to its end even to a server that ignores checksums.
//   - A success without an ETag is no success: captive portals answer 200 to
//     anything. Nor is one that came before the whole body was sent.
//   - Objects are made with If-None-Match, and who made an object is told by
//     its identity metadata, size and checksum, never by its ETag: with SSE-KMS,
//     SSE-C and many servers that says nothing.
//   - A Complete or Put that was refused because it may already have happened
//     (no such upload, precondition failed, server error, no ETag) is settled
//     by asking for the object.
//   - Encryption that was asked for and is not confirmed is an error before a
//     byte is sent: some servers take a customer's key and ignore it.
//   - A 307 is followed, signed anew, within the same service and nowhere else.
//   - A directory bucket's sessions are got, and renewed before they end, within
//     the call that needs them, by the server's clock.
//
// The package must never retry, log, buffer a body, or let the SDK read
// configuration from its surroundings.
//
// # Checksums
//
// The default is CRC32C over the full object, for it costs nothing: the spool's
// frames carry it already, those of frames combine into that of a part and
// those of parts into that of the object, without a byte being read again; it
// is done in hardware on amd64 and arm64, and most servers know it. The
// others are a pass over the bytes as they are kept. On an amd64 machine of
// 2026, in GB/s: CRC32 38, CRC32C 20, SHA-256 1.7, SHA-1 1.6, CRC64NVME (in plain
// Go) 1.4; so CRC64NVME costs 0.8 CPU seconds a GiB there, where the whole way
// from a pipe to a bucket may cost 2, and a multiple on a small ARM. It finds
// more errors than CRC32C; but the CRC32C that is checked from the peripheral
// on, frame by frame, would have to miss them as well.
//
// Full-object values are those of Complete's parts combined; SHA-1 and SHA-256
// do not combine, so S3 takes them as composite only. An object keeps the kind
// that it was laid out for, whatever the config says later.
//
// # What becomes of a reply that was not seen
//
// Complete and Put can be repeated. A repeated Complete is answered by 200, 404
// or 500, with or without an ETag, as the server likes. Unless the answer is a
// success that the checksum in it proves, the object is asked for (HEAD), and:
//
//	it is ours                          success
//	it is another's                     Conflict
//	it is not there, 404 or 409         Gone: sent again as a new upload
//	it is not there, anything else      that error: tried again
//	it was deleted (delete marker)      in doubt, if the key holds our epoch
//	HEAD is denied, 412, our epoch      success: nobody else makes that key
//	HEAD is denied, 412, other key      in doubt
//	HEAD is denied, 404                 Gone: sent again; a taken key then says 412
//	HEAD is denied, 5xx                 ListParts: Gone if the upload is no more
//
// Where the object is found to be ours, the upload that was asked for is ended:
// an earlier one may have made it.
//
// A consumer may take an object away before its receipt came. In a bucket that
// keeps versions the deletion is on record and the receipt is in doubt; in any
// other "taken away" and "never made" look alike, and the object is made again:
// the same bytes under the same key, which a consumer can tell by its key.
// Losing them would be worse.
//
// # CompleteMultipartUpload, line by line
//
// Every parameter, error, note and warning of the service's reference for this
// call, where it is handled, and the tests that prove it. A test reads this
// table and fails for a name that does not exist.
//
//	parts first, then Complete; the list must be complete and ascend | transport.Object.CheckParts, Destination.Complete | TestOfTenThousandPartsOnlyTheLostGoAgain, TestPartsAreConsecutiveFromOne
//	200 first, white space for minutes | Destination.Complete, completePatience, link.WithPatience | TestACompleteIsGivenTimeAndWhiteSpaceIsNoAnswer
//	200 with an error inside | fail, classify | TestAnErrorInsideA200IsTheErrorThatItNames
//	be prepared to retry, 500 included | classify, Destination.settle | TestARefusalOfCompleteIsSettledByWhatIsThere, TestAFailureThatWasASuccessIsFoundOut
//	warning: Content-Type is never a form, never absent | Destination.Complete | TestACompleteIsNeverAForm
//	note: directory buckets, zonal endpoint, no path style | Config.checkDirectory, Config.options | TestADirectoryBucketIsSpokenToByItsRules
//	permissions of general purpose buckets | Destination.permission, actions | TestARefusalSaysWhatTheOperatorCanDo
//	kms:Decrypt, with a checksum and SSE-KMS | Destination.permission, kmsHint | TestARefusalSaysWhatTheOperatorCanDo
//	permissions of directory buckets, CreateSession, its refresh | sessionIssuer.Issue, enter.HandleInitialize | TestASessionIsRenewedBeforeItEndsWhateverTheClock, TestASessionThatIsRefusedIsNotUsedAgain, TestWhyThereIsNoSessionIsSaid
//	kms:GenerateDataKey, directory buckets with SSE-KMS | Destination.permission, kmsHint, sessionIssuer.Issue | TestARefusalSaysWhatTheOperatorCanDo, TestASessionEncryptsAsItsObjectsAreToBe
//	error EntityTooSmall | wrongParts, Destination.nameWrong, hints | TestARefusalThatAPartExplainsNamesThePart, TestARefusalOfCompleteIsSettledByWhatIsThere, TestPartsThatAreTooSmallPointToTheConfig
//	error InvalidPart: not found, or another ETag | Destination.nameWrong, samePart | TestARefusalThatAPartExplainsNamesThePart, TestOfTenThousandPartsOnlyTheLostGoAgain, TestS3KeepsTheContract
//	error InvalidPartOrder | transport.Object.CheckParts, Destination.nameWrong | TestPartsAreConsecutiveFromOne, TestARefusalThatAPartExplainsNamesThePart, TestAnErrorInsideA200IsTheErrorThatItNames
//	error NoSuchUpload: aborted or completed | unsettled, Destination.settle | TestARefusalOfCompleteIsSettledByWhatIsThere, TestALostReplyOfCompleteIsSettledByTheNextCall
//	Host header of directory buckets | Config.directory, Config.options | TestADirectoryBucketIsSpokenToByItsRules
//	related: CreateMultipartUpload | Destination.Create | TestWhatIsAskedForIsSent
//	related: UploadPart | Destination.UploadPart | TestWhatIsAskedForIsSent, TestAPartIsReadOnceAndSentInOneRequest
//	related: AbortMultipartUpload | Destination.Abort | TestS3KeepsTheContract
//	related: ListParts | Destination.Parts | TestAnObjectOfTenThousandPartsIsListedAndMade, TestAListThatBreaksOffIsNoList
//	related: ListMultipartUploads | Destination.Find, Destination.uploads | TestAListThatDoesNotEndIsRefused, TestADirectoryBucketIsSpokenToByItsRules
//	warning: blanks in signed header values are encoded | encodeMetadata, tagging, headerSafe, follow | TestNoSignedHeaderHoldsABlank, TestMetadataComesBackFromAnyHeader
//	Bucket, Key, UploadId | Destination.check, Destination.key | TestS3KeepsTheContract, TestNewRefusesWhatCannotWork
//	MultipartUpload: without a valid part, 400 | transport.Object.CheckParts | TestPartsAreConsecutiveFromOne
//	Parts.ETag | completedParts, isETag | TestACompleteSaysAllThatItKnows, TestNoLieIsTakenForSuccess
//	Parts.ChecksumCRC32 | scheme.ofPart, completedParts | TestACompleteSaysAllThatItKnows, TestS3KeepsTheContractWithEveryChecksum
//	Parts.ChecksumCRC32C | scheme.ofPart, completedParts | TestACompleteSaysAllThatItKnows
//	Parts.ChecksumCRC64NVME | scheme.ofPart, completedParts | TestACompleteSaysAllThatItKnows, TestS3KeepsTheContractWithEveryChecksum
//	Parts.ChecksumSHA1 | scheme.ofPart, completedParts | TestACompleteSaysAllThatItKnows, TestS3KeepsTheContractWithEveryChecksum
//	Parts.ChecksumSHA256 | scheme.ofPart, completedParts | TestACompleteSaysAllThatItKnows, TestS3KeepsTheContractWithEveryChecksum, TestPartsWithoutAKnownChecksumGoAgain
//	Parts.PartNumber: 1 to 10,000 | checkPart, maxParts | TestPartsAreConsecutiveFromOne, TestOfTenThousandPartsOnlyTheLostGoAgain
//	note: with checksums, consecutive from 1 | transport.Object.CheckParts | TestPartsAreConsecutiveFromOne
//	note: directory buckets, consecutive from 1 | transport.Object.CheckParts | TestPartsAreConsecutiveFromOne
//	ChecksumCRC32 | scheme.ofObject | TestACompleteSaysAllThatItKnows, TestTheServerConfirmsEveryChecksum, TestAnObjectsChecksumFollowsFromThoseOfItsParts
//	ChecksumCRC32C | scheme.ofObject | TestACompleteSaysAllThatItKnows, TestAnObjectsChecksumFollowsFromThoseOfItsParts
//	ChecksumCRC64NVME: always full object | scheme.ofObject, findScheme | TestACompleteSaysAllThatItKnows, TestTheServerConfirmsEveryChecksum, TestEachAlgorithmHasTheTypesThatS3Takes
//	ChecksumSHA1 | scheme.ofObject | TestACompleteSaysAllThatItKnows, TestTheServerConfirmsEveryChecksum, TestAnObjectsChecksumFollowsFromThoseOfItsParts
//	ChecksumSHA256 | scheme.ofObject | TestACompleteSaysAllThatItKnows, TestTheServerConfirmsEveryChecksum, TestACompositeChecksumIsTheOneThatS3Documents
//	ChecksumType; another than at Create: BadDigest | schemeOf, Destination.lay, Destination.nameWrong | TestAnObjectKeepsTheChecksumThatItWasLaidOutFor, TestAnErrorInsideA200IsTheErrorThatItNames
//	MpuObjectSize; another: 400 InvalidRequest | Destination.Complete, wrongParts | TestACompleteSaysAllThatItKnows, TestARefusalThatAPartExplainsNamesThePart
//	RequestPayer | account | TestWhatIsAskedForIsSent, TestEveryCallIsMadeInTheNameOfTheOwnerAndThePayer
//	note: RequestPayer, not for directory buckets | Config.checkDirectory | TestADirectoryBucketIsSpokenToByItsRules
//	ExpectedBucketOwner; another: 403 | account, Destination.permission | TestWhatIsAskedForIsSent, TestARefusalSaysWhatTheOperatorCanDo
//	IfMatch; another: 412 | form, Destination.fail, Destination.settle | TestTheConditionIsTheOneAskedFor, TestARefusalSaysWhatTheOperatorCanDo
//	IfMatch; 409: fetch the ETag, begin and send anew | absent, Destination.settle | TestARefusalOfCompleteIsSettledByWhatIsThere
//	IfNoneMatch: *; taken: 412 | Destination.ifNoneMatch, Destination.settle, taken | TestTheConditionIsTheOneAskedFor, TestARefusalOfCompleteIsSettledByWhatIsThere, TestWithoutPermissionToReadATakenKeyOfOurEpochIsOurs
//	IfNoneMatch; 409: begin and send anew | absent | TestARefusalOfCompleteIsSettledByWhatIsThere
//	IfNoneMatch, unknown to the server: 501 | condition, Destination.unconditional, Destination.before | TestAServerWithoutConditionsIsFoundOutOnce, TestA501ForAnotherReasonIsNotLaidToTheCondition
//	SSECustomerAlgorithm | newCustomer, Destination.customerKept | TestTheCustomersKeyGoesWithEveryCallThatNeedsIt, TestEncryptionThatIsNotConfirmedIsDenied
//	SSECustomerKey | newCustomer, ParseCustomerKey, Config.checkCarriage | TestTheCustomersKeyGoesWithEveryCallThatNeedsIt, TestKeysOfCustomersAreNeverPrinted
//	SSECustomerKeyMD5: filled in | newCustomer | TestTheCustomersKeyGoesWithEveryCallThatNeedsIt
//	note: SSE-C, not for directory buckets | Config.checkDirectory | TestADirectoryBucketIsSpokenToByItsRules
package s3
