import Cryptoki
import Glibc
import Support
import Synchronization
import Testing

@Suite struct SessionTests {
    @Test func aThousandSessionsOpenAndClose() throws {
        let token = try SoftToken.shared()
        for _ in 0..<1_000 {
            var session = try token.openSession()
            let state = try session.info().state
            #expect(state == .readWriteUser)
            try session.close()
        }
    }

    @Test func closesWhenTheValueGoes() async {
        await #expect(processExitsWith: .success) {
            let token = try SoftToken.shared()
            // The public part of what one session sees of another: the session objects that end with their session.
            do {
                var session = try token.openSession()
                _ = try session.generateKey(.aesKeyGeneration, Templates.aes() + [.id([1, 2, 3])])
                let found = try session.findObjects(matching: [.id([1, 2, 3])], limit: 10)
                #expect(found.count == 1)
            }
            var other = try token.openSession()
            let found = try other.findObjects(matching: [.id([1, 2, 3])], limit: 10)
            #expect(found.isEmpty)
            exit(EXIT_SUCCESS)
        }
    }

    @Test func closingTwiceIsToldByTheModule() async {
        await #expect(processExitsWith: .success) {
            let token = try SoftToken.shared()
            let session = try token.openSession()
            try token.module.finalize()
            do throws(CryptokiError) {
                try session.close()
                Issue.record("closing succeeded")
            } catch {
                #expect(error == .failed(.closeSession, .cryptokiNotInitialized))
            }
            exit(EXIT_SUCCESS)
        }
    }

    @Test func aReadOnlySessionMakesNoTokenObjects() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession(readWrite: false)
        let state = try session.info().state
        #expect(state == .readOnlyUser)
        let template: [Attribute] = [.objectClass(.data), .bool(.token, true), .bool(.private, true), .bytes(.value, [1])]
        let error = caught { () throws(CryptokiError) in _ = try session.createObject(template) }
        #expect(error == .failed(.createObject, .sessionReadOnly))
    }

    @Test func threadsWorkSideBySide() throws {
        let token = try SoftToken.shared()
        let failures = Mutex<[String]>([])
        let threads = (0..<4).map { index in
            Thread {
                do {
                    try Self.work(token, seed: UInt64(index))
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 } == [])
    }

    /// A session and key of its own: 200 ciphertexts that all decrypt to what was encrypted.
    private static func work(_ token: SoftToken, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var session = try token.openSession()
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        for _ in 0..<200 {
            let iv = random.bytes(12)
            let plaintext = random.bytes(64)
            let sealed = try filled(80) { (output) throws(CryptokiError) in
                try session.encrypt(
                    .aesGCM(iv: iv.span.bytes, additionalData: RawSpan(), tagBits: 128), key: key,
                    plaintext: plaintext.span.bytes, into: output)
            }
            let opened = try filled(80) { (output) throws(CryptokiError) in
                try session.decrypt(
                    .aesGCM(iv: iv.span.bytes, additionalData: RawSpan(), tagBits: 128), key: key,
                    ciphertext: sealed.span.bytes, into: output)
            }
            #expect(opened == plaintext)
        }
        try session.close()
    }
}

/// A POSIX thread that runs one closure.
private final class Thread {
    private final class Work {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let work = Unmanaged.passRetained(Work(body)).toOpaque()
        let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() }
            return nil
        }
        pthread_create(&thread, nil, entry, work)
    }

    func join() { pthread_join(thread, nil) }
}
