internal import CCryptoki

/// Who logs in (CK_USER_TYPE, PKCS#11 v2.40 section 3.3).
public enum UserType: UInt, Hashable, Sendable {
    /// CKU_SO.
    case securityOfficer = 0
    /// CKU_USER.
    case user = 1
    /// CKU_CONTEXT_SPECIFIC: for a key with CKA_ALWAYS_AUTHENTICATE, between the beginning of an operation and its end.
    case contextSpecific = 2
}

extension Session {
    /// Logs in, for all sessions that the process has with the token: C_Login (5.6).
    ///
    /// A wrong PIN counts against the token's limit; ``TokenInfo/flags`` warn of the last try.
    ///
    /// - Throws: ``ReturnValue/pinIncorrect``, ``ReturnValue/pinLocked``, ``ReturnValue/userAlreadyLoggedIn`` and others.
    public mutating func login(_ user: UserType, pin: RawSpan) throws(CryptokiError) {
        let result = pin.withUnsafeBytes { bytes in
            // NULL would ask the token to read the PIN by itself; an empty PIN is not NULL.
            withUnsafeBytes(of: UInt8(0)) {
                cryptoki_login(functions.pointer, handle, user.rawValue, bytes.baseAddress ?? $0.baseAddress, UInt(bytes.count))
            }
        }
        try CryptokiError.check(result, .login)
    }

    /// Logs in with a PIN that is entered at the token (``TokenInfo/Flags/protectedAuthenticationPath``): C_Login (5.6).
    public mutating func loginAtToken(_ user: UserType) throws(CryptokiError) {
        try CryptokiError.check(cryptoki_login(functions.pointer, handle, user.rawValue, nil, 0), .login)
    }

    /// Logs out, for all sessions that the process has with the token: C_Logout (5.6). Handles of private objects are void.
    public mutating func logout() throws(CryptokiError) {
        try CryptokiError.check(cryptoki_logout(functions.pointer, handle), .logout)
    }

    /// Sets the user's PIN, as the security officer who is logged in: C_InitPIN (5.5).
    public mutating func initializePIN(_ pin: RawSpan) throws(CryptokiError) {
        let result = pin.withUnsafeBytes {
            cryptoki_init_pin(functions.pointer, handle, $0.baseAddress, UInt($0.count))
        }
        try CryptokiError.check(result, .initPIN)
    }

    /// Changes the PIN of who is logged in, or the user's when nobody is: C_SetPIN (5.5).
    public mutating func setPIN(old: RawSpan, new: RawSpan) throws(CryptokiError) {
        let result = old.withUnsafeBytes { old in
            new.withUnsafeBytes { new in
                cryptoki_set_pin(
                    functions.pointer, handle, old.baseAddress, UInt(old.count), new.baseAddress, UInt(new.count))
            }
        }
        try CryptokiError.check(result, .setPIN)
    }
}
