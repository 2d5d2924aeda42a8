internal import CCryptoki

/// A version number, as of Cryptoki, a library, hardware or firmware (CK_VERSION).
public struct Version: Hashable, Sendable, CustomStringConvertible {
    /// The part before the dot.
    public let major: UInt8
    /// The part after the dot, in hundredths: 2.40 has 40.
    public let minor: UInt8
    /// `2.40`; a minor part below ten has a zero before it.
    public var description: String { "\(major).\(minor < 10 ? "0" : "")\(minor)" }

    init(_ version: CK_VERSION) {
        major = version.major
        minor = version.minor
    }
}

/// What a module says of itself (CK_INFO, PKCS#11 v2.40 section 3.1).
public struct ModuleInfo: Hashable, Sendable {
    /// The version of Cryptoki that the module implements.
    public let cryptokiVersion: Version
    /// Who made it, without padding.
    public let manufacturer: String
    /// What it is, without padding.
    public let description: String
    /// The module's own version.
    public let libraryVersion: Version

    init(_ info: CK_INFO) {
        cryptokiVersion = Version(info.cryptokiVersion)
        manufacturer = text(info.manufacturerID)
        description = text(info.libraryDescription)
        libraryVersion = Version(info.libraryVersion)
    }
}

/// What a module says of a slot (CK_SLOT_INFO, PKCS#11 v2.40 section 3.2).
public struct SlotInfo: Hashable, Sendable {
    /// What the slot is, without padding.
    public let description: String
    /// Who made it, without padding.
    public let manufacturer: String
    /// CKF_TOKEN_PRESENT.
    public let tokenPresent: Bool
    /// CKF_REMOVABLE_DEVICE.
    public let removableDevice: Bool
    /// CKF_HW_SLOT: hardware, as opposed to software.
    public let hardware: Bool
    /// The slot's hardware version.
    public let hardwareVersion: Version
    /// The slot's firmware version.
    public let firmwareVersion: Version

    init(_ info: CK_SLOT_INFO) {
        description = text(info.slotDescription)
        manufacturer = text(info.manufacturerID)
        tokenPresent = info.flags & UInt(CKF_TOKEN_PRESENT) != 0
        removableDevice = info.flags & UInt(CKF_REMOVABLE_DEVICE) != 0
        hardware = info.flags & UInt(CKF_HW_SLOT) != 0
        hardwareVersion = Version(info.hardwareVersion)
        firmwareVersion = Version(info.firmwareVersion)
    }
}

/// What a token says of itself (CK_TOKEN_INFO, PKCS#11 v2.40 section 3.2).
public struct TokenInfo: Hashable, Sendable {
    /// The label given when the token was initialised, without padding.
    public let label: String
    /// Who made it, without padding.
    public let manufacturer: String
    /// The model, without padding.
    public let model: String
    /// The serial number, without padding.
    public let serial: String
    /// The token's state and abilities.
    public let flags: Flags
    /// How many sessions may be open at once.
    public let maximumSessions: SessionLimit
    /// How many sessions this application has open; nil when the token does not tell.
    public let sessions: UInt?
    /// How many read/write sessions may be open at once.
    public let maximumReadWriteSessions: SessionLimit
    /// How many read/write sessions this application has open; nil when the token does not tell.
    public let readWriteSessions: UInt?
    /// The shortest PIN in bytes.
    public let minimumPINLength: UInt
    /// The longest PIN in bytes.
    public let maximumPINLength: UInt
    /// The token's hardware version.
    public let hardwareVersion: Version
    /// The token's firmware version.
    public let firmwareVersion: Version

    /// The bytes that a label has at most (CK_TOKEN_INFO.label).
    public static let labelLength = 32

    /// A session limit, with the two special values of CK_ULONG told apart.
    public enum SessionLimit: Hashable, Sendable {
        /// CK_EFFECTIVELY_INFINITE.
        case unlimited
        /// CK_UNAVAILABLE_INFORMATION: the token does not tell.
        case unavailable
        /// So many.
        case count(UInt)

        init(_ number: UInt) {
            self =
                switch number {
                case UInt(CK_EFFECTIVELY_INFINITE): .unlimited
                // Some tokens give another negative number for CK_UNAVAILABLE_INFORMATION, and none has so many sessions.
                case (UInt.max - 15)...: .unavailable
                default: .count(number)
                }
        }
    }

    /// The flags of CK_TOKEN_INFO.
    public struct Flags: OptionSet, Hashable, Sendable {
        /// The CK_FLAGS.
        public let rawValue: UInt
        /// Any CK_FLAGS.
        public init(rawValue: UInt) { self.rawValue = rawValue }

        /// CKF_RNG: the token has its own random number generator.
        public static let randomNumberGenerator = Flags(rawValue: 1 << 0)
        /// CKF_WRITE_PROTECTED.
        public static let writeProtected = Flags(rawValue: 1 << 1)
        /// CKF_LOGIN_REQUIRED: some functions need a login.
        public static let loginRequired = Flags(rawValue: 1 << 2)
        /// CKF_USER_PIN_INITIALIZED.
        public static let userPINInitialized = Flags(rawValue: 1 << 3)
        /// CKF_PROTECTED_AUTHENTICATION_PATH: the PIN is entered at the token.
        public static let protectedAuthenticationPath = Flags(rawValue: 1 << 8)
        /// CKF_TOKEN_INITIALIZED.
        public static let initialized = Flags(rawValue: 1 << 10)
        /// CKF_USER_PIN_COUNT_LOW: a wrong user PIN has been given since the last right one.
        public static let userPINCountLow = Flags(rawValue: 1 << 16)
        /// CKF_USER_PIN_FINAL_TRY: the next wrong user PIN locks it.
        public static let userPINFinalTry = Flags(rawValue: 1 << 17)
        /// CKF_USER_PIN_LOCKED.
        public static let userPINLocked = Flags(rawValue: 1 << 18)
        /// CKF_USER_PIN_TO_BE_CHANGED.
        public static let userPINToBeChanged = Flags(rawValue: 1 << 19)
        /// CKF_SO_PIN_COUNT_LOW.
        public static let securityOfficerPINCountLow = Flags(rawValue: 1 << 20)
        /// CKF_SO_PIN_FINAL_TRY.
        public static let securityOfficerPINFinalTry = Flags(rawValue: 1 << 21)
        /// CKF_SO_PIN_LOCKED.
        public static let securityOfficerPINLocked = Flags(rawValue: 1 << 22)
        /// CKF_SO_PIN_TO_BE_CHANGED.
        public static let securityOfficerPINToBeChanged = Flags(rawValue: 1 << 23)
    }

    init(_ info: CK_TOKEN_INFO) {
        label = text(info.label)
        manufacturer = text(info.manufacturerID)
        model = text(info.model)
        serial = text(info.serialNumber)
        flags = Flags(rawValue: info.flags)
        maximumSessions = SessionLimit(info.ulMaxSessionCount)
        sessions = info.ulSessionCount == UInt.max ? nil : info.ulSessionCount
        maximumReadWriteSessions = SessionLimit(info.ulMaxRwSessionCount)
        readWriteSessions = info.ulRwSessionCount == UInt.max ? nil : info.ulRwSessionCount
        minimumPINLength = info.ulMinPinLen
        maximumPINLength = info.ulMaxPinLen
        hardwareVersion = Version(info.hardwareVersion)
        firmwareVersion = Version(info.firmwareVersion)
    }
}

/// What a mechanism can do on a token (CK_MECHANISM_INFO, PKCS#11 v2.40 section 3.5).
///
/// Tokens advertise more than they do: only trying tells.
public struct MechanismInfo: Hashable, Sendable {
    /// The smallest key; bits or bytes, as the mechanism has it.
    public let minimumKeySize: UInt
    /// The largest key; bits or bytes, as the mechanism has it.
    public let maximumKeySize: UInt
    /// What it can be used for.
    public let flags: Flags

    /// The flags of CK_MECHANISM_INFO.
    public struct Flags: OptionSet, Hashable, Sendable {
        /// The CK_FLAGS.
        public let rawValue: UInt
        /// Any CK_FLAGS.
        public init(rawValue: UInt) { self.rawValue = rawValue }

        /// CKF_HW: done by the device.
        public static let hardware = Flags(rawValue: 1 << 0)
        /// CKF_ENCRYPT.
        public static let encrypt = Flags(rawValue: 1 << 8)
        /// CKF_DECRYPT.
        public static let decrypt = Flags(rawValue: 1 << 9)
        /// CKF_DIGEST.
        public static let digest = Flags(rawValue: 1 << 10)
        /// CKF_SIGN.
        public static let sign = Flags(rawValue: 1 << 11)
        /// CKF_VERIFY.
        public static let verify = Flags(rawValue: 1 << 13)
        /// CKF_GENERATE.
        public static let generate = Flags(rawValue: 1 << 15)
        /// CKF_GENERATE_KEY_PAIR.
        public static let generateKeyPair = Flags(rawValue: 1 << 16)
        /// CKF_WRAP.
        public static let wrap = Flags(rawValue: 1 << 17)
        /// CKF_UNWRAP.
        public static let unwrap = Flags(rawValue: 1 << 18)
        /// CKF_DERIVE.
        public static let derive = Flags(rawValue: 1 << 19)
    }

    init(_ info: CK_MECHANISM_INFO) {
        minimumKeySize = info.ulMinKeySize
        maximumKeySize = info.ulMaxKeySize
        flags = Flags(rawValue: info.flags)
    }
}

/// The text of a fixed-length field: padded with blanks by the letter, ended with a zero byte by some modules.
private func text<Field>(_ field: Field) -> String {
    withUnsafeBytes(of: field) { bytes in
        var text = bytes.prefix { $0 != 0 }
        while text.last == UInt8(ascii: " ") { text.removeLast() }
        return String(decoding: text, as: UTF8.self)
    }
}
