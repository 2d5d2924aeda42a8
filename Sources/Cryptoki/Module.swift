internal import CCryptoki
import Glibc

/// A PKCS#11 module: the vendor's shared library that drives its tokens (PKCS#11 v2.40 sections 5.4 and 5.5).
///
/// The library stays loaded for the life of the process, also after the last reference to a `Module` is gone: modules start
/// threads and register handlers whose code must not be unmapped. Two `Module` values of one path are the same library and
/// share its state: C_Initialize, logins and object handles belong to the process. Do not fork after ``initialize(reserved:)``.
public final class Module: Sendable {
    /// Where the module was loaded from.
    public let path: String
    /// The version of the module's function list, 2.x or 3.x; the functions of v2.40 are what this library uses.
    public let version: Version
    let functions: FunctionList

    /// Counts above this are not believed: no module has as many slots or mechanisms.
    private static let listLimit: UInt = 65_536
    /// How often a list that grows between asking for its size and reading it is asked for again.
    private static let listAttempts = 8

    /// Loads the module at an absolute path, without initialising it.
    ///
    /// Runs the library's constructors: load only what an operator named.
    ///
    /// - Throws: ``CryptokiError/cannotLoad(path:_:detail:)``, whose description tells an operator what to mend.
    public convenience init(path: String) throws(CryptokiError) {
        guard path.utf8.first == UInt8(ascii: "/"), !path.utf8.contains(0) else {
            throw .cannotLoad(path: path, .pathNotAbsolute, detail: "")
        }
        guard access(path, R_OK) == 0 else { throw .cannotLoad(path: path, .notFound, detail: "") }
        guard let list = cryptoki_load(path) else {
            let detail = cryptoki_load_message().map { String(cString: $0) } ?? ""
            // The loader gives one message and no code; this name appears in it only when the entry point is the trouble.
            throw .cannotLoad(path: path, detail.contains("C_GetFunctionList") ? .notPKCS11 : .notLoadable, detail: detail)
        }
        let version = Version(cryptoki_version(list))
        guard version.major == 2 || version.major == 3 else {
            throw .cannotLoad(path: path, .unsupportedVersion, detail: "\(version)")
        }
        self.init(path: path, functions: FunctionList(list))
    }

    /// A module whose function list is at hand already.
    init(path: String, functions: FunctionList) {
        self.path = path
        self.functions = functions
        version = Version(cryptoki_version(functions.pointer))
    }

    /// Initialises the module for this process: C_Initialize with CKF_OS_LOCKING_OK, so that threads may call it (5.4).
    ///
    /// - Parameter reserved: what some vendors want in pReserved, usually configuration text; nil for the others.
    /// - Throws: ``ReturnValue/cryptokiAlreadyInitialized`` when another part of the process has done so.
    public func initialize(reserved: String? = nil) throws(CryptokiError) {
        let result =
            if let reserved {
                reserved.withCString { cryptoki_initialize(functions.pointer, $0) }
            } else {
                cryptoki_initialize(functions.pointer, nil)
            }
        try CryptokiError.check(result, .initialize)
    }

    /// Ends the module's work for this process: C_Finalize (5.4). All sessions and handles are void afterwards, also those of
    /// ``Session`` values that still live; no other thread may be inside the module.
    public func finalize() throws(CryptokiError) {
        try CryptokiError.check(cryptoki_finalize(functions.pointer), .finalize)
        ObjectTally.reset()
    }

    /// What the module says of itself: C_GetInfo (5.4).
    public func info() throws(CryptokiError) -> ModuleInfo {
        var info = CK_INFO()
        try CryptokiError.check(cryptoki_get_info(functions.pointer, &info), .getInfo)
        return ModuleInfo(info)
    }

    /// The slots, all or those that hold a token: C_GetSlotList (5.5).
    public func slots(withToken: Bool) throws(CryptokiError) -> [SlotID] {
        let present: UInt8 = withToken ? 1 : 0
        return try list(.getSlotList) { cryptoki_get_slot_list(functions.pointer, present, $0, $1) }
            .map(SlotID.init(rawValue:))
    }

    /// What the module says of a slot: C_GetSlotInfo (5.5).
    public func slotInfo(_ slot: SlotID) throws(CryptokiError) -> SlotInfo {
        var info = CK_SLOT_INFO()
        try CryptokiError.check(cryptoki_get_slot_info(functions.pointer, slot.rawValue, &info), .getSlotInfo)
        return SlotInfo(info)
    }

    /// What the token in a slot says of itself: C_GetTokenInfo (5.5).
    public func tokenInfo(_ slot: SlotID) throws(CryptokiError) -> TokenInfo {
        var info = CK_TOKEN_INFO()
        try CryptokiError.check(cryptoki_get_token_info(functions.pointer, slot.rawValue, &info), .getTokenInfo)
        return TokenInfo(info)
    }

    /// The mechanisms that the token in a slot offers: C_GetMechanismList (5.5).
    public func mechanisms(_ slot: SlotID) throws(CryptokiError) -> [MechanismType] {
        try list(.getMechanismList) { cryptoki_get_mechanism_list(functions.pointer, slot.rawValue, $0, $1) }
            .map(MechanismType.init(rawValue:))
    }

    /// What a mechanism can do on the token in a slot: C_GetMechanismInfo (5.5).
    public func mechanismInfo(_ type: MechanismType, in slot: SlotID) throws(CryptokiError) -> MechanismInfo {
        var info = CK_MECHANISM_INFO()
        let result = cryptoki_get_mechanism_info(functions.pointer, slot.rawValue, type.rawValue, &info)
        try CryptokiError.check(result, .getMechanismInfo)
        return MechanismInfo(info)
    }

    /// Initialises the token in a slot, destroying all that is on it: C_InitToken (5.5).
    ///
    /// The slot's number may change: look the token up again afterwards.
    ///
    /// - Parameters:
    ///   - soPIN: the security officer's PIN: the present one of a token that is initialised, else the one to set.
    ///   - label: at most ``TokenInfo/labelLength`` bytes of UTF-8.
    public func initializeToken(_ slot: SlotID, soPIN: RawSpan, label: String) throws(CryptokiError) {
        guard label.utf8.count <= TokenInfo.labelLength else { throw .labelTooLong }
        let padded = Array(label.utf8) + Array(repeating: UInt8(ascii: " "), count: TokenInfo.labelLength - label.utf8.count)
        let result = soPIN.withUnsafeBytes {
            cryptoki_init_token(functions.pointer, slot.rawValue, $0.baseAddress, UInt($0.count), padded)
        }
        try CryptokiError.check(result, .initToken)
    }

    /// Opens a session with the token in a slot: C_OpenSession (5.6).
    public func openSession(_ slot: SlotID, readWrite: Bool) throws(CryptokiError) -> Session {
        var handle: CK_SESSION_HANDLE = 0
        let flags = readWrite ? UInt(CKF_RW_SESSION) : 0
        let result = cryptoki_open_session(functions.pointer, slot.rawValue, flags, &handle)
        try CryptokiError.check(result, .openSession)
        guard handle != 0 else { throw .malformedReply(.openSession) }
        return Session(functions: functions, handle: handle)
    }

    /// A list by the two-call convention of section 5.2; asked for again when it grew in between.
    private func list(
        _ function: Function, _ call: (UnsafeMutablePointer<UInt>?, UnsafeMutablePointer<UInt>) -> CK_RV
    ) throws(CryptokiError) -> [UInt] {
        for _ in 0..<Module.listAttempts {
            var count: UInt = 0
            try CryptokiError.check(call(nil, &count), function)
            guard count <= Module.listLimit else { throw .malformedReply(function) }
            guard count > 0 else { return [] }
            var items = [UInt](repeating: 0, count: Int(count))
            let capacity = count
            let result = items.withUnsafeMutableBufferPointer { call($0.baseAddress, &count) }
            if ReturnValue(rawValue: result) == .bufferTooSmall { continue }
            try CryptokiError.check(result, function)
            guard count <= capacity else { throw .malformedReply(function) }
            return Array(items.prefix(Int(count)))
        }
        throw .failed(function, .bufferTooSmall)
    }
}

/// The module's function list.
struct FunctionList: @unchecked Sendable {
    // Sendable: the list is constant, is never unmapped, and CKF_OS_LOCKING_OK makes its functions callable from any thread.
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }
}
