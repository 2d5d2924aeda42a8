internal import CCryptoki

/// A session with a token (PKCS#11 v2.40 section 5.6).
///
/// Belongs to one owner: it cannot be copied, and every operation needs exclusive access to it, so no two threads are ever in
/// one session. It closes when the value goes; ``close()`` does the same and tells of errors. Session objects end with their
/// session, and the user is logged out when the last session of the process closes.
///
/// All operations are single-part, begin and end within the call, and leave nothing active, also when they fail.
public struct Session: ~Copyable, Sendable {
    let functions: FunctionList
    let handle: CK_SESSION_HANDLE

    init(functions: FunctionList, handle: CK_SESSION_HANDLE) {
        self.functions = functions
        self.handle = handle
    }

    deinit { _ = cryptoki_close_session(functions.pointer, handle) }

    /// Closes the session: C_CloseSession (5.6). The value is gone also when this throws.
    public consuming func close() throws(CryptokiError) {
        let result = cryptoki_close_session(functions.pointer, handle)
        discard self
        try CryptokiError.check(result, .closeSession)
    }

    /// Lets go of the session without C_CloseSession: for sessions that ended with C_Finalize, since closing one afterwards could
    /// hit a newer session that was given the same handle.
    public consuming func forget() {
        discard self
    }

    /// Slot, state and flags of the session: C_GetSessionInfo (5.6). Many modules answer it without asking the device.
    public mutating func info() throws(CryptokiError) -> SessionInfo {
        var info = CK_SESSION_INFO()
        try CryptokiError.check(cryptoki_get_session_info(functions.pointer, handle, &info), .getSessionInfo)
        guard let state = SessionInfo.State(rawValue: info.state) else { throw .malformedReply(.getSessionInfo) }
        return SessionInfo(slot: SlotID(rawValue: info.slotID), state: state, deviceError: info.ulDeviceError)
    }
}

/// What a session is and who is logged in (CK_SESSION_INFO, PKCS#11 v2.40 section 3.3).
public struct SessionInfo: Hashable, Sendable {
    /// The slot that the session is with.
    public let slot: SlotID
    /// Read-only or read/write, and who is logged in.
    public let state: State
    /// An error code of the device, as the vendor defines it.
    public let deviceError: UInt

    /// The states of a session (CK_STATE).
    public enum State: UInt, Hashable, Sendable {
        /// CKS_RO_PUBLIC_SESSION: read-only, nobody logged in.
        case readOnlyPublic = 0
        /// CKS_RO_USER_FUNCTIONS: read-only, the user logged in.
        case readOnlyUser = 1
        /// CKS_RW_PUBLIC_SESSION: read/write, nobody logged in.
        case readWritePublic = 2
        /// CKS_RW_USER_FUNCTIONS: read/write, the user logged in.
        case readWriteUser = 3
        /// CKS_RW_SO_FUNCTIONS: read/write, the security officer logged in.
        case readWriteSecurityOfficer = 4
    }
}
