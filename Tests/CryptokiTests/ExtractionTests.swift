import COpenSSL
import Cryptoki
import Glibc
import Support
import Testing

/// The doctor's "dangerous" rows of NSS softokn by hand: the same calls, and what a thief does with what comes out.
@Suite struct ExtractionTests {
    /// A database of its own with the user logged in, in this process: for child processes of exit tests only.
    private static func session() throws -> Session {
        let module = try Module(path: "/usr/lib/x86_64-linux-gnu/libsoftokn3.so")
        var template = Array("/tmp/clvt-nss-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else { throw CryptokiError.failed(.initialize, .generalError) }
        let directory = String(cString: path)
        try module.initialize(
            reserved: "configdir='sql:\(directory)' certPrefix='' keyPrefix='' secmod='secmod.db' flags=noModDB")
        let slot = try TokenURI("pkcs11:token=NSS%20Certificate%20DB").select(in: module)
        var session = try module.openSession(slot, readWrite: true)
        let (none, pin) = ([UInt8](), Array("a PIN of the tests".utf8))
        try session.login(.securityOfficer, pin: none.span.bytes)
        try session.initializePIN(pin.span.bytes)
        try session.logout()
        try session.login(.user, pin: pin.span.bytes)
        // The database's files are open, and go when the process does.
        for name in try listDirectory(directory) { unlink(directory + "/" + name) }
        rmdir(directory)
        return session
    }

    private static func known(_ value: [UInt8], _ session: inout Session) throws(CryptokiError) -> ObjectHandle {
        try session.createObject(
            [
                .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, false), .bool(.sensitive, false),
                .bool(.extractable, true), .bool(.wrap, true), .bool(.unwrap, true),
            ], value: value.span.bytes)
    }

    /// "a non-extractable key cannot be wrapped out" and "wrapping the key out under a known key": the whole key in clear.
    @Test func aKeyIsWrappedOutOfNSS() async {
        guard TokenFamily.installedNSS() != nil else { return skip("NSS softokn, extraction", "libnss3 is not installed") }
        await #expect(processExitsWith: .success) {
            var session = try ExtractionTests.session()
            let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
            #expect(try session.bools([.sensitive, .extractable], of: key) == [.value(true), .value(false)])
            #expect(caught { () throws(CryptokiError) in _ = try session.bytes(.value, of: key) } != nil)
            let thief = [UInt8](repeating: 9, count: 32)
            let handle = try ExtractionTests.known(thief, &session)
            let wrapped = try filled(64) { (output) throws(CryptokiError) in
                try session.wrapKey(.other(.aesKeyWrap, parameter: RawSpan()), wrappingKey: handle, key: key, into: output)
            }
            let value = try #require(Oracle.unwrapKey(key: thief, wrapped: wrapped))
            // It is that key: what libcrypto computes with it is what the token computes with its own.
            let (iv, plaintext) = ([UInt8](repeating: 3, count: 16), [UInt8](repeating: 5, count: 32))
            let inside = try filled(64) { (output) throws(CryptokiError) in
                try session.encrypt(.aesCBC(iv: iv.span.bytes), key: key, plaintext: plaintext.span.bytes, into: output)
            }
            #expect(value.count == 32 && inside == Oracle.encryptCBC(key: value, iv: iv, plaintext: plaintext))
        }
    }

    /// "copying the key with weaker attributes", and "a key stays as closed as it was made".
    @Test func aCopyIsMoreOpenInNSS() async {
        guard TokenFamily.installedNSS() != nil else { return skip("NSS softokn, copies", "libnss3 is not installed") }
        await #expect(processExitsWith: .success) {
            var session = try ExtractionTests.session()
            let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
            let copy = try session.tryCopying(key, [.bool(.token, false), .bool(.extractable, true)])
            #expect(try session.bools([.extractable], of: copy) == [.value(true)])
            #expect(try session.bools([.extractable], of: key) == [.value(false)])
        }
    }
}
