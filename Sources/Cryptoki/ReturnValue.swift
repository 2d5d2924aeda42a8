/// What a PKCS#11 function returned (CK_RV, PKCS#11 v2.40 section 5.1).
///
/// Open by nature: vendors add values of their own (0x8000_0000 and up), so this is a number with a name and not a closed enum.
/// The constants below are those that callers tell apart; ``name`` knows all of them.
public struct ReturnValue: RawRepresentable, Hashable, Sendable {
    /// The CK_RV.
    public let rawValue: UInt

    /// Any CK_RV.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    /// Whether the value is the vendor's own (CKR_VENDOR_DEFINED and up).
    public var isVendorDefined: Bool { rawValue >= 0x8000_0000 }

    // General errors, 5.1.1 and 5.1.6.
    /// CKR_OK: success. Never thrown.
    public static let ok = Self(rawValue: 0x0)
    /// CKR_CANCEL.
    public static let cancel = Self(rawValue: 0x1)
    /// CKR_HOST_MEMORY.
    public static let hostMemory = Self(rawValue: 0x2)
    /// CKR_SLOT_ID_INVALID.
    public static let slotIDInvalid = Self(rawValue: 0x3)
    /// CKR_GENERAL_ERROR: by the letter unrecoverable, yet some modules also return it for a ciphertext that fails its check.
    public static let generalError = Self(rawValue: 0x5)
    /// CKR_FUNCTION_FAILED.
    public static let functionFailed = Self(rawValue: 0x6)
    /// CKR_ARGUMENTS_BAD.
    public static let argumentsBad = Self(rawValue: 0x7)
    /// CKR_FUNCTION_NOT_SUPPORTED; also what a function missing from the module's list gives.
    public static let functionNotSupported = Self(rawValue: 0x54)
    /// CKR_BUFFER_TOO_SMALL.
    public static let bufferTooSmall = Self(rawValue: 0x150)
    /// CKR_CRYPTOKI_NOT_INITIALIZED.
    public static let cryptokiNotInitialized = Self(rawValue: 0x190)
    /// CKR_CRYPTOKI_ALREADY_INITIALIZED.
    public static let cryptokiAlreadyInitialized = Self(rawValue: 0x191)

    // Devices, tokens and sessions.
    /// CKR_DEVICE_ERROR.
    public static let deviceError = Self(rawValue: 0x30)
    /// CKR_DEVICE_MEMORY.
    public static let deviceMemory = Self(rawValue: 0x31)
    /// CKR_DEVICE_REMOVED: the token went away during the call.
    public static let deviceRemoved = Self(rawValue: 0x32)
    /// CKR_TOKEN_NOT_PRESENT.
    public static let tokenNotPresent = Self(rawValue: 0xe0)
    /// CKR_TOKEN_NOT_RECOGNIZED.
    public static let tokenNotRecognized = Self(rawValue: 0xe1)
    /// CKR_TOKEN_WRITE_PROTECTED.
    public static let tokenWriteProtected = Self(rawValue: 0xe2)
    /// CKR_SESSION_CLOSED: the session was closed during the call.
    public static let sessionClosed = Self(rawValue: 0xb0)
    /// CKR_SESSION_COUNT: the token has no room for another session.
    public static let sessionCount = Self(rawValue: 0xb1)
    /// CKR_SESSION_HANDLE_INVALID.
    public static let sessionHandleInvalid = Self(rawValue: 0xb3)
    /// CKR_SESSION_READ_ONLY.
    public static let sessionReadOnly = Self(rawValue: 0xb5)
    /// CKR_SESSION_EXISTS: C_InitToken while a session is open.
    public static let sessionExists = Self(rawValue: 0xb6)
    /// CKR_OPERATION_ACTIVE.
    public static let operationActive = Self(rawValue: 0x90)
    /// CKR_OPERATION_NOT_INITIALIZED.
    public static let operationNotInitialized = Self(rawValue: 0x91)

    // PINs and users.
    /// CKR_PIN_INCORRECT.
    public static let pinIncorrect = Self(rawValue: 0xa0)
    /// CKR_PIN_INVALID: the new PIN has bytes that the token does not take.
    public static let pinInvalid = Self(rawValue: 0xa1)
    /// CKR_PIN_LEN_RANGE.
    public static let pinLengthRange = Self(rawValue: 0xa2)
    /// CKR_PIN_EXPIRED.
    public static let pinExpired = Self(rawValue: 0xa3)
    /// CKR_PIN_LOCKED.
    public static let pinLocked = Self(rawValue: 0xa4)
    /// CKR_USER_ALREADY_LOGGED_IN.
    public static let userAlreadyLoggedIn = Self(rawValue: 0x100)
    /// CKR_USER_NOT_LOGGED_IN.
    public static let userNotLoggedIn = Self(rawValue: 0x101)
    /// CKR_USER_PIN_NOT_INITIALIZED.
    public static let userPINNotInitialized = Self(rawValue: 0x102)
    /// CKR_USER_ANOTHER_ALREADY_LOGGED_IN.
    public static let userAnotherAlreadyLoggedIn = Self(rawValue: 0x104)

    // Objects, attributes and templates.
    /// CKR_OBJECT_HANDLE_INVALID.
    public static let objectHandleInvalid = Self(rawValue: 0x82)
    /// CKR_ATTRIBUTE_READ_ONLY.
    public static let attributeReadOnly = Self(rawValue: 0x10)
    /// CKR_ATTRIBUTE_SENSITIVE: the attribute exists and may not be read.
    public static let attributeSensitive = Self(rawValue: 0x11)
    /// CKR_ATTRIBUTE_TYPE_INVALID: the object has no such attribute.
    public static let attributeTypeInvalid = Self(rawValue: 0x12)
    /// CKR_ATTRIBUTE_VALUE_INVALID.
    public static let attributeValueInvalid = Self(rawValue: 0x13)
    /// CKR_ACTION_PROHIBITED: an attribute of the object forbids what was asked.
    public static let actionProhibited = Self(rawValue: 0x1b)
    /// CKR_TEMPLATE_INCOMPLETE.
    public static let templateIncomplete = Self(rawValue: 0xd0)
    /// CKR_TEMPLATE_INCONSISTENT.
    public static let templateInconsistent = Self(rawValue: 0xd1)

    // Keys and mechanisms.
    /// CKR_KEY_HANDLE_INVALID.
    public static let keyHandleInvalid = Self(rawValue: 0x60)
    /// CKR_KEY_SIZE_RANGE.
    public static let keySizeRange = Self(rawValue: 0x62)
    /// CKR_KEY_TYPE_INCONSISTENT.
    public static let keyTypeInconsistent = Self(rawValue: 0x63)
    /// CKR_KEY_FUNCTION_NOT_PERMITTED.
    public static let keyFunctionNotPermitted = Self(rawValue: 0x68)
    /// CKR_KEY_NOT_WRAPPABLE.
    public static let keyNotWrappable = Self(rawValue: 0x69)
    /// CKR_KEY_UNEXTRACTABLE.
    public static let keyUnextractable = Self(rawValue: 0x6a)
    /// CKR_MECHANISM_INVALID.
    public static let mechanismInvalid = Self(rawValue: 0x70)
    /// CKR_MECHANISM_PARAM_INVALID.
    public static let mechanismParameterInvalid = Self(rawValue: 0x71)
    /// CKR_UNWRAPPING_KEY_HANDLE_INVALID.
    public static let unwrappingKeyHandleInvalid = Self(rawValue: 0xf0)
    /// CKR_WRAPPING_KEY_HANDLE_INVALID.
    public static let wrappingKeyHandleInvalid = Self(rawValue: 0x113)
    /// CKR_CURVE_NOT_SUPPORTED.
    public static let curveNotSupported = Self(rawValue: 0x140)

    // Data.
    /// CKR_DATA_INVALID.
    public static let dataInvalid = Self(rawValue: 0x20)
    /// CKR_DATA_LEN_RANGE.
    public static let dataLengthRange = Self(rawValue: 0x21)
    /// CKR_ENCRYPTED_DATA_INVALID: the ciphertext failed its check.
    public static let encryptedDataInvalid = Self(rawValue: 0x40)
    /// CKR_ENCRYPTED_DATA_LEN_RANGE.
    public static let encryptedDataLengthRange = Self(rawValue: 0x41)
    /// CKR_AEAD_DECRYPT_FAILED (v3.0): the ciphertext failed its check.
    public static let aeadDecryptFailed = Self(rawValue: 0x42)
    /// CKR_SIGNATURE_INVALID.
    public static let signatureInvalid = Self(rawValue: 0xc0)
    /// CKR_SIGNATURE_LEN_RANGE.
    public static let signatureLengthRange = Self(rawValue: 0xc1)
    /// CKR_WRAPPED_KEY_INVALID.
    public static let wrappedKeyInvalid = Self(rawValue: 0x110)
    /// CKR_WRAPPED_KEY_LEN_RANGE.
    public static let wrappedKeyLengthRange = Self(rawValue: 0x112)
    /// CKR_RANDOM_NO_RNG.
    public static let randomNoRNG = Self(rawValue: 0x121)
}

extension ReturnValue: CustomStringConvertible {
    /// Name and number, `CKR_PIN_INCORRECT (0xa0)`; a value without a name is `CKR_VENDOR_DEFINED + 0x12 (0x80000012)` or
    /// `unknown CK_RV (0x999)`.
    public var description: String {
        let number = "(0x\(String(rawValue, radix: 16)))"
        if let name { return "\(name) \(number)" }
        if isVendorDefined { return "CKR_VENDOR_DEFINED + 0x\(String(rawValue - 0x8000_0000, radix: 16)) \(number)" }
        return "unknown CK_RV \(number)"
    }
}
