import Cryptoki
import Glibc
import Support
import Testing

/// A SoftHSM token behind the fault module, in this process: for child processes of exit tests only, one each.
final class Bench {
    let store: SoftTokenStore
    let faults: FaultModule
    let module: Module
    private var session: Session?

    private static let pin = Array("user-pin-of-the-tests".utf8)
    private static let iv = [UInt8](repeating: 7, count: 12)

    /// Makes the token, and loads the module without initialising it.
    init() throws {
        store = try SoftTokenStore()
        try store.createToken(label: "bench", userPIN: String(decoding: Bench.pin, as: UTF8.self), soPIN: "officer-of-the-tests")
        SoftToken.activate(store)
        faults = try FaultModule(directory: store.directory, storage: store.tokens)
        setenv("CLAVIGER_FAULT", faults.control, 1)
        module = try Module(path: try FaultModule.path())
    }

    /// Bench and session, initialised and logged in.
    static func opened() throws -> Bench {
        let bench = try Bench()
        try bench.open()
        return bench
    }

    /// Initialises the module and logs in.
    func open() throws(CryptokiError) {
        try module.initialize()
        try logIn()
    }

    /// A new session in place of the old one, in which the user is logged in.
    func logIn() throws(CryptokiError) {
        session.take()?.forget()
        session = try module.openSession(try slot(), readWrite: true)
        let pin = Bench.pin
        try session?.login(.user, pin: pin.span.bytes)
    }

    /// Ends the module and initialises it anew.
    func reopen() throws(CryptokiError) {
        session.take()?.forget()
        try module.finalize()
        try open()
    }

    /// Opens and closes a further session.
    func visit() throws(CryptokiError) { try anotherSession().close() }

    func anotherSession() throws(CryptokiError) -> Session { try module.openSession(try slot(), readWrite: true) }

    func slot() throws(CryptokiError) -> SlotID { try TokenURI("pkcs11:token=bench").select(in: module) }

    /// Runs `body` with the session.
    func use<R>(_ body: (inout Session) throws(CryptokiError) -> R) throws(CryptokiError) -> R {
        guard session != nil else { throw .failed(.openSession, .sessionHandleInvalid) }
        return try body(&session!)
    }

    /// A key of the session or the token, for everything.
    func key(_ label: String = "key", token: Bool = false) throws(CryptokiError) -> ObjectHandle {
        try use { (session) throws(CryptokiError) in try Bench.key(label, token: token, &session) }
    }

    static func key(_ label: String, token: Bool, _ session: inout Session) throws(CryptokiError) -> ObjectHandle {
        try session.generateKey(
            .aesKeyGeneration,
            [
                .objectClass(.secretKey), .keyType(.aes), .ulong(.valueLength, 32), .bool(.token, token), .bool(.private, true),
                .bool(.sensitive, true), .bool(.extractable, false), .bool(.encrypt, true), .bool(.decrypt, true), .label(label),
            ])
    }

    func label(of object: ObjectHandle) throws(CryptokiError) -> String {
        try use { (session) throws(CryptokiError) in String(decoding: try session.bytes(.label, of: object), as: UTF8.self) }
    }

    /// The handles of these labels' objects.
    func handles(_ labels: [String]) throws(CryptokiError) -> [String: ObjectHandle] {
        try use { (session) throws(CryptokiError) in
            var found: [String: ObjectHandle] = [:]
            for label in labels { found[label] = try session.findObjects(matching: [.label(label)], limit: 2).first }
            return found
        }
    }

    func encrypt(_ plaintext: [UInt8], _ key: ObjectHandle) throws(CryptokiError) -> [UInt8] {
        try use { (session) throws(CryptokiError) in try Bench.encrypt(plaintext, key, &session) }
    }

    static func encrypt(_ plaintext: [UInt8], _ key: ObjectHandle, _ session: inout Session) throws(CryptokiError) -> [UInt8] {
        let iv = Bench.iv
        return try filled(plaintext.count + 64) { (output) throws(CryptokiError) in
            try session.encrypt(
                .aesGCM(iv: iv.span.bytes, additionalData: RawSpan(), tagBits: 128), key: key, plaintext: plaintext.span.bytes,
                into: output)
        }
    }

    func decrypt(_ ciphertext: [UInt8], _ key: ObjectHandle) throws(CryptokiError) -> [UInt8] {
        let iv = Bench.iv
        return try use { (session) throws(CryptokiError) in
            try Bench.filled(ciphertext.count + 64) { (output) throws(CryptokiError) in
                try session.decrypt(
                    .aesGCM(iv: iv.span.bytes, additionalData: RawSpan(), tagBits: 128), key: key,
                    ciphertext: ciphertext.span.bytes, into: output)
            }
        }
    }

    func random(_ count: Int) throws(CryptokiError) -> [UInt8] {
        try use { (session) throws(CryptokiError) in try Bench.random(count, &session) }
    }

    static func random(_ count: Int, _ session: inout Session) throws(CryptokiError) -> [UInt8] {
        try filled(count) { (output) throws(CryptokiError) in
            try session.random(into: output)
            return count
        }
    }

    /// What as many encryptions end with, one after another.
    func codes(_ count: Int, _ key: ObjectHandle) -> [ReturnValue?] {
        (0..<count).map { _ in caught { () throws(CryptokiError) in _ = try encrypt([1], key) } }
    }

    private static func filled(
        _ capacity: Int, _ body: (UnsafeMutableRawBufferPointer) throws(CryptokiError) -> Int
    ) throws(CryptokiError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: capacity)
        var outcome: Result<Int, CryptokiError> = .success(0)
        bytes.withUnsafeMutableBytes { output in
            do throws(CryptokiError) { outcome = .success(try body(output)) } catch { outcome = .failure(error) }
        }
        return Array(bytes.prefix(try outcome.get()))
    }
}

/// What a call of the module fails with; nil when it succeeds.
func caught(_ body: () throws(CryptokiError) -> Void) -> ReturnValue? {
    do throws(CryptokiError) {
        try body()
        return nil
    } catch {
        return error.returnValue
    }
}
