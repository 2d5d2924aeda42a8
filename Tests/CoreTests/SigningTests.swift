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

    /// A key and a signature over "sample" that `openssl genrsa 3072` and `openssl dgst -sha256 -sign` made.
    @Test func anRSASignatureOfOpenSSLVerifies() throws {
        let key = try #require(SigningPublicKey(pem: SigningTests.rsaSample))
        #expect(key.pem == SigningTests.rsaSample && key.kind == .rsa3072 && key.signatureLength == 384)
        let digest = SHA256.digest(Array("sample".utf8).span.bytes)
        let signature = hex(
            "39ea5bc9e1d3e19a7156c2c9ceef3d764249be6d954826646a5ee353c2572bc3d422f3a55b6cfbea4bb234f06df417c010164384c11a5a92"
                + "2f7c9620ff95ec006eb0f4313e5e416e7432d47d3a3c7601209d360359c075bd4a7c5d285063e1dfcbb0b3dce41495be92fc11d362b6c0dc"
                + "b3d4e1514dd3950eefe92717165405b404486629be99f92182d00f1c17c4a6508e8392eab508803d1528ae25c670fd4f08bb9b779743b369"
                + "ca0cfca207f894980354505e35b0a3f650c68fb078e3eff37084378e5988f88a0dbb1b85632e8ac12718ffa226969ff7d6bd955331778520"
                + "b1a4f3309260fafcf733d8b64518a54c154ab14bb759a2bf215c3de38517353f58aa19f90d7a19e9bb1a6462b1e655071ed7a755524542d9"
                + "2ea9832bf2fae27ae5ab79e986727f721ea883f705403eb7a6dd7f49a02e6dbd31af4b35bf17e0bc75d843d4728070bab88307dbc1bf4e5e"
                + "d04ab2cc80f176ebfb458a589066980423d43c2b15124c35733bbe1a664c0bf0af3f468dcde578f7cb52e31e738ad5f6")
        #expect(key.verifies(signature, of: digest))
        for index in [0, 200, 383] {
            var wrong = signature
            wrong[index] ^= 1
            #expect(!key.verifies(wrong, of: digest))
        }
        #expect(!key.verifies(signature, of: SHA256.digest(Array("simple".utf8).span.bytes)))
        #expect(!key.verifies(Array(signature.prefix(64)), of: digest))
        // Another exponent, and a modulus of another length, are no keys of ours.
        #expect(SigningPublicKey(pem: SigningTests.rsaSample.replacing("AgMBAAE=", with: "AgMBAAM=")) == nil)
        let modulus = Array(key.der.dropLast(5).suffix(384))
        #expect(SigningPublicKey(modulus: modulus) == key && SigningPublicKey(modulus: [0] + modulus) == key)
        #expect(SigningPublicKey(modulus: Array(modulus.dropLast())) == nil)
    }

    private static let rsaSample = """
        -----BEGIN PUBLIC KEY-----
        MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEAj+biPBxEHvK6iwi4wHNC
        Rb3JxUiZk0OiXVhdVnnZtL7S0PACK5HD81vUwNnxLudGA6FX85FpGa3cWze2C2mQ
        eJ6USXSsnFIM/v7cdrhLk3u6SpDWNgXbU8F/xwvJjoxTyX/pU4KTsfn2mbFpPEU3
        /8vv9Ok6rISI/5X0Ayyy9SHuDQvvYTFpAlwaGAsqV3t6nI4oQyaA1Ka2GGt92LQG
        gTjE5rPG+Xde2+UOQpjgA3YWCAhL+nwfWg5I5E/Uh0SsZykuy5SHhkZqeBkGbLj9
        89v+NQ2l7Luw33Rkr7V0RAgOCgeMylRC/Z2zSgtqrCiNq9wZAl5gUfiucyz3T3f7
        o6xgxL7r4mDseftvzgEvOo58WWrr1ZBM10RqMRVlvtNlGp7Ls/s4Qqjn5IkCV6FZ
        TS0BzcDi+wKpvVmDSpRJVdGZXlO8Sotvd0h28T/scaGnVmplnFfkHlqmAt3Dt1W1
        FhDqaU1Zc8rN7oKl9wCnLm79BR4XUSEzZEq3GVZQ/QdhAgMBAAE=
        -----END PUBLIC KEY-----

        """

    @Test func onlyAPointOfTheCurveIsAKey() throws {
        let key = try #require(SigningPublicKey(pem: SigningTests.sample))
        let point = Array(key.der.suffix(SigningPublicKey.pointLength))
        var beside = point
        beside[64] ^= 1
        #expect(SigningPublicKey(point: beside) == nil)
        #expect(SigningPublicKey(point: Array(point.dropLast())) == nil)
        #expect(SigningPublicKey(attribute: [0x04, 65] + point) == key)
        #expect(SigningPublicKey(attribute: point) == key)
        #expect(SigningPublicKey(attribute: [0x04, 64] + point) == nil)
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
