import Cryptoki
import Glibc
import SecureMemory
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// Signatures of the instance's own pair.
@Suite struct SigningTests {
    @Test func theTokenSignsWhatThePublicKeyVerifies() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let digest = SHA256.digest([1, 2, 3].span.bytes)
            let signature = try instance.token.sign(digest)
            let key = try #require(try instance.token.signingPublicKey)
            #expect(key.verifies(signature, of: digest))
            #expect(!key.verifies(signature, of: SHA256.digest([1, 2, 4].span.bytes)))
            // The same key after a restart, and from inside a request.
            try instance.restart()
            let session = try TokenSession()
            _ = try instance.token.enter(session)
            let second = try instance.token.sign(digest)
            try instance.token.leave(session)
            #expect(try #require(try instance.token.signingPublicKey) == key && key.verifies(second, of: digest))
        }
    }

    @Test func withoutTheTokenNothingIsSignedAndNobodyWaits() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let token = try instance.token
            let digest = SHA256.digest([1].span.bytes)
            _ = try token.sign(digest)
            // Somebody else has the token alone and does not come out.
            let holder = Holder(token.gate)
            #expect(throws: SigningFailure.unavailable("it is being taken hold of")) { try token.sign(digest) }
            holder.leave()
            _ = try token.sign(digest)
            token.stop()
            #expect(throws: SigningFailure.unavailable("stopping")) { try token.sign(digest) }
            #expect(token.signingPublicKey != nil)
        }
    }

    @Test func theOneWhoHasTheTokenAloneMaySign() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let token = try instance.token
            #expect(token.gate.enterAlone())
            let signature = try token.sign(SHA256.digest([1].span.bytes))
            #expect(signature.count == 64)
            token.gate.leave()
            #expect(!token.gate.isInside)
        }
    }

    @Test func aSessionThatTheTokenForgotIsReplaced() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let token = try instance.token
            let digest = SHA256.digest([1].span.bytes)
            _ = try token.sign(digest)
            let generation = token.snapshots.current.generation
            token.attach(presented: nil)
            #expect(token.snapshots.current.generation > generation)
            _ = try token.sign(digest)
        }
    }

    private static let sample = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
        Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
        -----END PUBLIC KEY-----

        """

    /// The key and the signature of RFC 6979 section A.2.5 over "sample" with SHA-256.
    @Test func anExampleOfTheStandardVerifies() throws {
        let key = try #require(SigningPublicKey(pem: SigningTests.sample))
        #expect(key.pem == SigningTests.sample)
        let digest = SHA256.digest(Array("sample".utf8).span.bytes)
        let signature = hex(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                + "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
        #expect(key.verifies(signature, of: digest))
        for index in [0, 31, 32, 63] {
            var wrong = signature
            wrong[index] ^= 1
            #expect(!key.verifies(wrong, of: digest))
        }
        #expect(!key.verifies([], of: digest) && !key.verifies([UInt8](repeating: 0, count: 64), of: digest))
    }

    @Test func onlyAPointOfTheCurveIsAKey() throws {
        let key = try #require(SigningPublicKey(pem: SigningTests.sample))
        var beside = key.point
        beside[64] ^= 1
        #expect(SigningPublicKey(point: beside) == nil)
        #expect(SigningPublicKey(point: Array(key.point.dropLast())) == nil)
        #expect(SigningPublicKey(attribute: [0x04, 65] + key.point) == key)
        #expect(SigningPublicKey(attribute: key.point) == key)
        #expect(SigningPublicKey(attribute: [0x04, 64] + key.point) == nil)
        #expect(SigningPublicKey(pem: "") == nil)
        #expect(SigningPublicKey(pem: SigningTests.sample.replacing("YP7U", with: "YP7V")) == nil)
        #expect(SigningPublicKey(pem: SigningTests.sample.replacing("MFkw", with: "MFlw")) == nil)
    }

    private func hex(_ text: String) -> [UInt8] {
        let digits = text.utf8.map { $0 < 0x3a ? $0 - 0x30 : $0 - 0x57 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// Holds a gate alone on a thread of its own.
    private final class Holder {
        private let inside = Bell()
        private let out = Bell()
        private let worker: Worker

        init(_ gate: SharedGate) {
            worker = Worker { [inside, out] in
                _ = gate.enterAlone()
                inside.ring()
                out.wait()
                gate.leave()
            }
            inside.wait()
        }

        func leave() {
            out.ring()
            worker.join()
        }
    }
}
