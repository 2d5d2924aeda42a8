/// Every limit of the protocol and the envelope, with its reason. Both sides check them before they allocate or copy.
public enum Limits {
    // Frames

    /// The protocol version of this library.
    public static let protocolVersion: UInt8 = 1
    /// Bytes of a frame's header, the length field included.
    public static let headerLength = 16
    /// The least value of the length field: the rest of the header.
    public static let minimumFrameLength = 12
    /// The greatest value of the length field: 1 MiB bounds what one peer can make the other hold.
    public static let maximumFrameLength = 1 << 20
    /// The greatest whole frame in bytes: the length field and what it counts.
    public static let maximumFrameSize = maximumFrameLength + 4
    /// The greatest body in bytes.
    public static let maximumBodyLength = maximumFrameSize - headerLength
    /// The greatest frame that a server sends. A batch of the largest plaintext with refreshed envelopes needs 567 KiB; a smaller
    /// bound than the protocol's lets a server keep its locked reply buffers small. Clients must accept `maximumFrameLength`.
    public static let maximumReplySize = 640 << 10
    /// Tags from here on may be ignored by who does not know them.
    public static let firstIgnorableTag: UInt16 = 0x8000

    // Items

    /// Items of one wrap, unwrap or rewrap.
    public static let maximumItems = 256
    /// Plaintext of all items of one request, 256 KiB: 64 items of the greatest size, or 256 of 1 KiB.
    public static let maximumBatchPlaintext = 256 << 10
    /// The least plaintext of an item in bytes.
    public static let minimumPlaintext = 1
    /// The greatest plaintext of an item in bytes: a DEK or a small secret, never bulk data.
    public static let maximumPlaintext = 4_096
    /// The least length of a generated DEK: 128 bits.
    public static let minimumGenerated = 16
    /// The greatest length of a generated DEK: 512 bits, as XTS and AES-SIV-512 want.
    public static let maximumGenerated = 64
    /// The length of a generated DEK when nothing else is asked: 256 bits.
    public static let defaultGenerated = 32

    // Context (additional authenticated data)

    /// Strings of one context.
    public static let maximumContextStrings = 255
    /// Unicode scalars of one context string.
    public static let maximumContextScalars = 255
    /// UTF-8 bytes of one context string: 255 scalars of 4 bytes.
    public static let maximumContextStringBytes = 1_020
    /// UTF-8 bytes of all strings of one context: 8 KiB, so that a batch's contexts stay within a frame.
    public static let maximumContextBytes = 8 << 10

    // Text and numbers

    /// The least length of a key's name in Unicode scalars, as in Key Protect.
    public static let minimumName = 2
    /// The greatest length of a key's name in Unicode scalars, as in Key Protect.
    public static let maximumName = 90
    /// The greatest length of a text in a reply or refusal in Unicode scalars.
    public static let maximumMessage = 1_000
    /// The greatest PIN in bytes. PKCS#11 sets no bound; SoftHSM takes 255, and no token known takes more.
    public static let maximumPIN = 255
    /// Records of one page of a list: a page of the longest names fits a reply.
    public static let maximumPage = 500
    /// Records of one page when the caller does not say.
    public static let defaultPage = 100
    /// The greatest cursor of a list in bytes: room for a key's id and the longest name of a registered resource.
    public static let maximumCursor = KeyID.byteCount + 4 * maximumResource
    /// The greatest deadline that a client may ask for, in milliseconds: an hour, so that sums of times cannot overflow.
    public static let maximumDeadline: UInt32 = 3_600_000

    /// Supplementary groups in a reply to whoami: the kernel allows 65,536, of which half fill a reply; no account comes near.
    public static let maximumGroups = 32_768
    /// Permissions in a reply to whoami: room for all that later versions add, so that no client refuses a newer daemon.
    public static let maximumPermissions = 256
    /// Bytes of the metrics' text, all of them ASCII: half of the room that a reply has which needs no token's worker.
    public static let maximumMetrics = 32 << 10
    /// Mechanisms in a reply to token-status: Claviger looks at a dozen.
    public static let maximumMechanisms = 256

    // What describes a key

    /// The least description in Unicode scalars, as in Key Protect.
    public static let minimumDescription = 2
    /// The greatest description in Unicode scalars, as in Key Protect.
    public static let maximumDescription = 240
    /// Tags of one key in a message. The instance's setting, 30 unless changed, is what holds; this bounds the setting.
    public static let maximumTags = 100
    /// The greatest tag in Unicode scalars, as in Key Protect.
    public static let maximumTag = 30
    /// Aliases of one key in a message. The instance's setting, 5 unless changed, is what holds; this bounds the setting.
    public static let maximumAliases = 50
    /// The least ring id in characters, as in Key Protect.
    public static let minimumRing = 2
    /// The greatest ring id in characters, as in Key Protect.
    public static let maximumRing = 100
    /// The least reason for a change in Unicode scalars.
    public static let minimumReason = 1
    /// The greatest reason for a change in Unicode scalars: a sentence or two for the record.
    public static let maximumReason = 240
    /// The greatest interval of a rotation policy in months, as in Key Protect.
    public static let maximumRotationMonths: UInt32 = 12

    // Lists

    /// The greatest text to search for in Unicode scalars, as long as the longest description.
    public static let maximumSearch = 240
    /// The greatest filter expression in Unicode scalars: more than all conditions together need.
    public static let maximumFilter = 1_000
    /// The greatest sort order in Unicode scalars: more than all fields together need.
    public static let maximumSort = 200

    // Secrets and imported material

    /// The greatest secret of a standard key in bytes, as in Key Protect.
    public static let maximumPayload = 7_500
    /// What RSA-OAEP makes of anything with a modulus of 4,096 bits.
    public static let encryptedPayloadLength = 512
    /// The proof of an import: IV of 12 bytes, the nonce encrypted, GCM's tag of 16 bytes.
    public static let proofLength = ImportProof.byteCount
    /// The nonce of an import token.
    public static let nonceLength = 12
    /// The greatest public key in bytes: an RSA key of 4,096 bits takes 550.
    public static let maximumPublicKey = 1_024
    /// The least life of an import token in seconds, as in Key Protect.
    public static let minimumImportTokenLife: UInt32 = 300
    /// The greatest life of an import token in seconds: a day, as in Key Protect.
    public static let maximumImportTokenLife: UInt32 = 86_400
    /// The life of an import token in seconds when the caller does not say.
    public static let defaultImportTokenLife: UInt32 = 600
    /// The greatest number of uses of an import token, as in Key Protect.
    public static let maximumImportTokenUses: UInt32 = 500

    // Administration

    /// The greatest name of a registered resource in Unicode scalars: an IBM cloud resource name fits many times.
    public static let maximumResource = 1_000
    /// Settings in a reply: more than there will be.
    public static let maximumSettings = 256
    /// The greatest body of a request that waits for a second person, in bytes: policies are small.
    public static let maximumApprovalBody = 4_096

    // Access

    /// The greatest length of a role's name in Unicode scalars.
    public static let maximumRoleName = 64
    /// The greatest length of a subject, a scope or what a question is about, in Unicode scalars: a user, a group and a unit of the
    /// system's greatest names fit.
    public static let maximumSubject = 600
    /// Roles at most, those that come with the daemon included: all of them fit one reply.
    public static let maximumRoles = 256
    /// Grants at most: the whole of them is held in memory and in the audit's eye.
    public static let maximumGrants = 10_000
    /// Grants in a reply to whoami: beyond them the reply says how many more there are.
    public static let maximumOwnGrants = 32
    /// Lines of an explanation.
    public static let maximumExplanation = 64

    // Key versions

    /// The first version of a key.
    public static let firstVersion: UInt32 = 1
}
