// The fields of keys and their versions.
extension Schema {
    static let suite = FieldKind.u8(1...3)
    static let anyVersion = FieldKind.u32(Limits.firstVersion...UInt32.max)
    static let pageLimit = FieldKind.u32(1...UInt32(Limits.maximumPage))
    static let cursorBytes = FieldKind.bytes(1...Limits.maximumCursor)
    static let rotationMonths = FieldKind.u32(0...Limits.maximumRotationMonths)
    static let materialBits = FieldKind.u32(128...256)
    static let dualControl = FieldKind.u32(0...DualControl.all.rawValue)

    static func key(_ tag: UInt16) -> FieldEntry {
        FieldEntry(tag, "key", keyText, "The key, by id, alias or name.")
    }

    static func operation(_ tag: UInt16) -> FieldEntry {
        FieldEntry(tag, "operation", .id, "The operation's id, made by the client.")
    }

    /// One state of a list of states.
    static let keyStateItem: [FieldEntry] = [
        FieldEntry(1, "state", .u8(1...5), "1 active, 2 suspended, 3 deactivated, 5 destroyed.")
    ]

    /// One key.
    public static let key: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The key's id."),
        FieldEntry(2, "name", anyMessage, "Its name."),
        FieldEntry(3, "state", .u8(1...5), "1 active, 2 suspended, 3 deactivated, 5 destroyed."),
        FieldEntry(4, "created-ms", .u64, "When it was created, in milliseconds since 1970-01-01T00:00:00Z."),
        FieldEntry(5, "version", anyVersion, "Its newest version, under which it wraps."),
        FieldEntry(6, "version-created-ms", .u64, "When that version was made."),
        FieldEntry(7, "suite", suite, "The suite of that version."),
        FieldEntry(8, "kind", .u8(0...1), required: false, "0 root key, 1 standard key."),
        FieldEntry(9, "imported", mark, required: false, "1 when its material was imported; absent when the token made it."),
        FieldEntry(
            10, "bits", materialBits, required: false, "The size of the newest version's material; absent for a standard key."),
        FieldEntry(11, "description", anyMessage, required: false, "What it is for."),
        FieldEntry(12, "ring", anyMessage, required: false, "The key ring that it is in."),
        FieldEntry(13, "tags", .texts(1...Limits.maximumTags, 0...Limits.maximumTag), required: false, "Its tags."),
        FieldEntry(
            14, "aliases", .words(1...Limits.maximumAliases, Limits.minimumName...Limits.maximumName), required: false,
            "Its aliases, in alphabetical order."),
        FieldEntry(15, "created-by", anyMessage, required: false, "Who created it."),
        FieldEntry(16, "updated-ms", .u64, required: false, "When it was last changed."),
        FieldEntry(
            17, "revision", .u64, required: false,
            "Rises with every change: what a careful change gives back to be refused if somebody came between."),
        FieldEntry(18, "rotated-ms", .u64, required: false, "When it was last rotated; absent when it never was."),
        FieldEntry(19, "expires-ms", .u64, required: false, "When it expires; absent when it does not."),
        FieldEntry(20, "deleted-ms", .u64, required: false, "When it was deleted."),
        FieldEntry(21, "deleted-by", anyMessage, required: false, "Who deleted it."),
        FieldEntry(22, "restorable-until-ms", .u64, required: false, "Until when it can be restored."),
        FieldEntry(23, "purge-from-ms", .u64, required: false, "From when on it can be purged."),
        FieldEntry(24, "purge-scheduled-ms", .u64, required: false, "When it is purged by itself."),
        FieldEntry(25, "restore-allowed", mark, required: false, "1 when it could be restored now."),
        FieldEntry(26, "purge-allowed", mark, required: false, "1 when it could be purged now."),
        FieldEntry(
            27, "rotation-months", rotationMonths, required: false,
            "Its rotation policy: every so many months; 0 or absent for none."),
        FieldEntry(28, "rotation-enabled", mark, required: false, "1 when that policy is switched on."),
        FieldEntry(
            29, "dual-control", dualControl, required: false, "The actions that need a second person: \(DualControl.meaning)."),
        FieldEntry(30, "registrations", anyU32, required: false, "How many resources are registered with it."),
        FieldEntry(31, "wiped", mark, required: false, "1 when its material is gone for good; only the metadata is left."),
        FieldEntry(
            32, "pending-approval", .id, required: false, "The open request to do something to it that needs a second person."),
        FieldEntry(33, "next-rotation-ms", .u64, required: false, "When its rotation policy rotates it next."),
    ]

    /// One version of a key.
    public static let version: [FieldEntry] = [
        FieldEntry(1, "version", anyVersion, "Its number."),
        FieldEntry(2, "created-ms", .u64, "When it was made."),
        FieldEntry(3, "suite", suite, "Its suite."),
        FieldEntry(4, "current", flag, "1 when it is the one that wraps."),
        FieldEntry(5, "wraps", .u64, "A bound on how often it has encrypted; counted in blocks, so that no crash lowers it."),
        FieldEntry(6, "usable", flag, "1 when its object on the token answers as it did when it was made."),
        FieldEntry(7, "state", .u8(0...2), required: false, "0 in use, 1 retired, 2 destroyed; absent: in use."),
        FieldEntry(8, "bits", materialBits, required: false, "The size of its material; absent for a standard key."),
        FieldEntry(9, "imported", mark, required: false, "1 when its material was imported."),
        FieldEntry(
            10, "reason", anyMessage, required: false,
            "Why it was made, when there was a reason: `policy`, `wrap-limit`, or what the caller gave."),
        FieldEntry(11, "retired-ms", .u64, required: false, "When it was retired."),
    ]

    /// The body of a request of key-create.
    public static let keyCreateRequest: [FieldEntry] = [
        FieldEntry(1, "name", .text(Limits.minimumName...Limits.maximumName), sizeRefusal: .invalidName, "The new key's name."),
        operation(2),
        FieldEntry(3, "kind", .u8(0...1), required: false, "0 root key, 1 standard key; absent: a root key."),
        FieldEntry(
            4, "description", .text(Limits.minimumDescription...Limits.maximumDescription), required: false,
            "What the key is for."),
        FieldEntry(5, "tags", .texts(1...Limits.maximumTags, 0...Limits.maximumTag), required: false, "Its tags."),
        FieldEntry(
            6, "aliases", .words(1...Limits.maximumAliases, Limits.minimumName...Limits.maximumName), required: false,
            sizeRefusal: .invalidName, "Its aliases."),
        FieldEntry(
            7, "expires-ms", .u64, required: false, "When it expires, in milliseconds since 1970-01-01T00:00:00Z; absent: never."),
        FieldEntry(
            8, "ring", .word(Limits.minimumRing...Limits.maximumRing), required: false, sizeRefusal: .invalidName,
            "The key ring that it belongs to; absent: `default`."),
        FieldEntry(
            9, "rotation-months", rotationMonths, required: false,
            "Its rotation policy instead of the instance's: every so many months; 0 for none."),
        FieldEntry(
            10, "dual-control", dualControl, required: false, "The actions that need a second person instead of the instance's."),
        FieldEntry(11, "no-policies", mark, required: false, "1: the instance's policies for new keys are not taken over."),
        FieldEntry(
            12, "payload", .bytes(1...Limits.maximumPayload), required: false,
            "A standard key's secret, or a root key's material of 16, 24 or 32 bytes."),
        FieldEntry(13, "import-token", .id, required: false, "The import token under whose key the material comes encrypted."),
        FieldEntry(
            14, "encrypted-payload", .bytes(Limits.encryptedPayloadLength...Limits.encryptedPayloadLength), required: false,
            "The material, encrypted with RSA-OAEP for the import token."),
        FieldEntry(
            15, "proof", .bytes(Limits.proofLength...Limits.proofLength), required: false,
            "The nonce, encrypted with AES-GCM under the material: IV, ciphertext and tag."),
        FieldEntry(16, "bits", materialBits, required: false, "The material's size: 128, 192 or 256."),
        FieldEntry(
            17, "nonce", .bytes(Limits.nonceLength...Limits.nonceLength), required: false,
            "The nonce that was taken with the import token."),
        FieldEntry(18, "suite", suite, required: false, "The suite; absent: the best that the token can do."),
        FieldEntry(
            19, "key-id", .id, required: false,
            "With an import token: the new key's id, made by the client and bound by the proof."),
    ]

    /// The body of a request of key-rotate.
    public static let keyRotateRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(
            3, "reason", .text(Limits.minimumReason...Limits.maximumReason), required: false,
            "Why this is an emergency: the least interval between rotations is not waited for."),
        FieldEntry(
            4, "payload", .bytes(1...Limits.maximumPayload), required: false,
            "The new version's secret (standard key), or its material of 16, 24 or 32 bytes (imported root key)."),
        FieldEntry(5, "import-token", .id, required: false, "The import token under whose key the material comes encrypted."),
        FieldEntry(
            6, "encrypted-payload", .bytes(Limits.encryptedPayloadLength...Limits.encryptedPayloadLength), required: false,
            "The material, encrypted with RSA-OAEP for the import token."),
        FieldEntry(
            7, "proof", .bytes(Limits.proofLength...Limits.proofLength), required: false,
            "The nonce, encrypted with AES-GCM under the material: IV, ciphertext and tag."),
        FieldEntry(8, "bits", materialBits, required: false, "The material's size: 128, 192 or 256."),
        FieldEntry(
            9, "nonce", .bytes(Limits.nonceLength...Limits.nonceLength), required: false,
            "The nonce that was taken with the import token."),
    ]

    /// The body of the reply to key-list.
    public static let keyListReply: [FieldEntry] = [
        FieldEntry(1, "keys", .list(0...Limits.maximumPage, key), "The keys; fewer than asked for where their records are long."),
        FieldEntry(2, "next", cursorBytes, required: false, "Where the next page begins; absent on the last."),
    ]

    /// The body of a request of key-show.
    public static let keyShowRequest: [FieldEntry] = [key(1)]

    /// The body of a request of key-versions and key-census.
    public static let keyVersionsRequest: [FieldEntry] = [
        key(1),
        FieldEntry(2, "limit", pageLimit, required: false, "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(3, "before", anyVersion, required: false, "Only versions older than this; absent for the newest."),
    ]

    /// The body of the reply to key-versions.
    public static let keyVersionsReply: [FieldEntry] = [
        FieldEntry(1, "key", .id, "The key's id."),
        FieldEntry(2, "versions", .list(0...Limits.maximumPage, version), "Newest first."),
        FieldEntry(3, "more", flag, "1 when older versions follow."),
    ]

    /// The body of a request of key-list.
    public static let keyListRequest: [FieldEntry] =
        [
            FieldEntry(1, "limit", pageLimit, required: false, "How many at most; \(Limits.defaultPage) when absent."),
            FieldEntry(2, "cursor", cursorBytes, required: false, "`next` of the page before; absent for the first."),
        ] + keyCountRequest + [
            FieldEntry(8, "sort", .text(1...Limits.maximumSort), required: false, "The order; absent: by creation time.")
        ]

    /// The body of a request of key-count: what narrows a list.
    public static let keyCountRequest: [FieldEntry] = [
        FieldEntry(3, "ring", .word(Limits.minimumRing...Limits.maximumRing), required: false, "Only keys of this ring."),
        FieldEntry(
            4, "states", .list(1...4, keyStateItem), required: false, "Only keys in these states; absent: all but destroyed ones."
        ),
        FieldEntry(5, "kind", .u8(0...1), required: false, "Only root keys (0) or standard keys (1)."),
        FieldEntry(6, "search", .text(1...Limits.maximumSearch), required: false, "Only keys that this is found in."),
        FieldEntry(7, "filter", .text(1...Limits.maximumFilter), required: false, "Only keys that this expression holds for."),
    ]

    /// The body of the reply to key-count.
    public static let keyCountReply: [FieldEntry] = [
        FieldEntry(1, "count", .u64, "How many keys the caller would be listed.")
    ]

    /// The body of a request of key-read.
    public static let keyReadRequest: [FieldEntry] = [
        key(1),
        FieldEntry(2, "version", anyVersion, required: false, "The version; absent: the newest."),
    ]

    /// The body of the reply to key-read.
    public static let keyReadReply: [FieldEntry] = [
        FieldEntry(1, "payload", .bytes(1...Limits.maximumPayload), "The secret."),
        FieldEntry(2, "version", anyVersion, "The version that it is of."),
        FieldEntry(3, "key", .id, "The key's id."),
    ]

    /// The body of a request of key-update.
    public static let keyUpdateRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(
            3, "revision", .u64, required: false, "The record's revision that the change is meant for; absent: whichever it is."),
        FieldEntry(
            4, "name", .text(Limits.minimumName...Limits.maximumName), required: false, sizeRefusal: .invalidName, "The new name."
        ),
        FieldEntry(
            5, "description", .text(0...Limits.maximumDescription), required: false, "The new description; empty removes it."),
        FieldEntry(
            6, "tags", .texts(0...Limits.maximumTags, 0...Limits.maximumTag), required: false, "The new tags, all of them."),
        FieldEntry(7, "expires-ms", .u64, required: false, "The new expiry; 0 removes it."),
    ]

    /// The body of a request of key-disable, key-enable, key-restore and key-purge.
    public static let keyChangeRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "reason", .text(Limits.minimumReason...Limits.maximumReason), required: false, "Why, for the record."),
    ]

    /// The body of a request of key-delete.
    public static let keyDeleteRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "force", mark, required: false, "1: delete it though resources are registered with it."),
        FieldEntry(4, "dry-run", mark, required: false, "1: change nothing, say what would happen."),
    ]

    /// The body of the reply to key-delete.
    public static let keyDeleteReply: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The key's id."),
        FieldEntry(2, "state", .u8(1...5), "The key's state now."),
        FieldEntry(3, "registrations", anyU32, "How many resources are registered with it."),
        FieldEntry(4, "retained", anyU32, "How many of them forbid its deletion."),
        FieldEntry(5, "versions", anyU32, "How many versions it has."),
        FieldEntry(6, "wraps", .u64, "How many envelopes it has made, as far as was seen."),
        FieldEntry(7, "unwraps", .u64, "How many envelopes of it were opened, as far as was seen."),
        FieldEntry(8, "last-used-ms", .u64, required: false, "When it was last seen in use."),
        FieldEntry(9, "restorable-until-ms", .u64, "Until when it can be restored."),
        FieldEntry(10, "purge-from-ms", .u64, "From when on it can be purged."),
        FieldEntry(11, "aliases", anyU32, "How many aliases it has."),
        FieldEntry(12, "done", flag, "1 when it is deleted, 0 after a dry run."),
        FieldEntry(13, "blocked", anyMessage, required: false, "Why deleting it would be refused."),
    ]

    /// The body of the reply to key-purge.
    public static let keyPurgeReply: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The id of the key that is no more.")
    ]

    /// The body of a request of key-move.
    public static let keyMoveRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(
            3, "ring", .word(Limits.minimumRing...Limits.maximumRing), sizeRefusal: .invalidName, "The ring that it moves to."),
    ]

    /// What was seen of one version.
    public static let censusRecord: [FieldEntry] = [
        FieldEntry(1, "version", anyVersion, "Its number."),
        FieldEntry(2, "state", .u8(0...2), "0 in use, 1 retired, 2 destroyed."),
        FieldEntry(3, "wraps", .u64, "How many envelopes it has made, as far as was seen."),
        FieldEntry(4, "unwraps", .u64, "How many of its envelopes were opened, as far as was seen."),
        FieldEntry(5, "last-wrap-ms", .u64, required: false, "When it was last seen to make one."),
        FieldEntry(6, "last-unwrap-ms", .u64, required: false, "When one of its envelopes was last seen to be opened."),
        FieldEntry(7, "retirable", flag, "1 when it could be retired now."),
    ]

    /// The body of the reply to key-census.
    public static let keyCensusReply: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The key's id."),
        FieldEntry(2, "versions", .list(0...Limits.maximumPage, censusRecord), "Newest first."),
        FieldEntry(3, "more", flag, "1 when older versions follow."),
    ]

    /// The body of a request of version-retire.
    public static let versionRetireRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "version", anyVersion, "The version."),
        FieldEntry(4, "undo", mark, required: false, "1: the version is used again."),
    ]

    /// The body of a request of version-destroy.
    public static let versionDestroyRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "version", anyVersion, "The version."),
    ]
}
