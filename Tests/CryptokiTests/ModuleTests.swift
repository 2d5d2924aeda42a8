import Cryptoki
import Glibc
import Support
import Testing

@Suite struct ModuleTests {
    @Test(arguments: ["libsofthsm2.so", "", "./libsofthsm2.so", "/usr/lib\0/x.so"])
    func refusesPathsThatAreNotAbsolute(path: String) {
        #expect(loadProblem(path) == .pathNotAbsolute)
    }

    @Test func saysThatNothingIsThere() {
        #expect(loadProblem("/nonexistent/module.so") == .notFound)
    }

    @Test func refusesFilesThatAreNoLibraries() throws {
        let store = try SoftTokenStore()
        #expect(loadProblem(store.configuration) == .notLoadable)
        #expect(loadProblem(store.directory) == .notLoadable)
    }

    @Test func refusesLibrariesWithoutTheEntryPoint() throws {
        let candidates = ["x86_64", "aarch64"].map { "/usr/lib/\($0)-linux-gnu/libsqlite3.so.0" }
        let path = try #require(candidates.first { access($0, R_OK) == 0 })
        #expect(loadProblem(path) == .notPKCS11)
    }

    @Test func loadErrorsTellTheOperatorPathAndReason() {
        let error = caught { () throws(CryptokiError) in _ = try Module(path: "/nonexistent/module.so") }
        #expect(error?.description == "cannot load PKCS#11 module /nonexistent/module.so: not found, or not readable")
    }

    @Test func loadingTwiceIsTheSameLibrary() throws {
        let token = try SoftToken.shared()
        let again = try Module(path: token.module.path)
        #expect(try again.info() == token.module.info())
        #expect(
            caught { () throws(CryptokiError) in try again.initialize() } == .failed(.initialize, .cryptokiAlreadyInitialized))
    }

    @Test func describesModuleSlotAndToken() throws {
        let token = try SoftToken.shared()
        #expect(token.module.version.description == "2.40")
        #expect(try token.module.info().manufacturer == "SoftHSM")
        let slot = try token.module.slotInfo(token.slot)
        #expect(slot.tokenPresent && !slot.removableDevice)
        let info = try token.module.tokenInfo(token.slot)
        #expect(info.label == token.label)
        #expect(info.model == "SoftHSM v2")
        #expect(info.serial.utf8.count == 16)
        #expect(info.flags.isSuperset(of: [.initialized, .userPINInitialized, .loginRequired, .randomNumberGenerator]))
        #expect(info.flags.isDisjoint(with: [.userPINLocked, .userPINFinalTry, .protectedAuthenticationPath]))
        #expect(info.maximumSessions == .unlimited)
        #expect(info.minimumPINLength == 4 && info.maximumPINLength == 255)
    }

    @Test func listsMechanisms() throws {
        let token = try SoftToken.shared()
        let mechanisms = try token.module.mechanisms(token.slot)
        for wanted in [MechanismType.aesGCM, .aesKeyGeneration, .aesKeyWrap, .hmacSHA256, .ecdsa, .rsaOAEP] {
            #expect(mechanisms.contains(wanted), "\(wanted)")
        }
        #expect(Set(mechanisms).count == mechanisms.count)
        let generation = try token.module.mechanismInfo(.aesKeyGeneration, in: token.slot)
        #expect(generation.minimumKeySize == 16 && generation.maximumKeySize == 32)
        #expect(generation.flags.contains(.generate) && !generation.flags.contains(.encrypt))
        let unknown = MechanismType(rawValue: 0x7fff_0000)
        let error = caught { () throws(CryptokiError) in _ = try token.module.mechanismInfo(unknown, in: token.slot) }
        #expect(error == .failed(.getMechanismInfo, .mechanismInvalid))
    }

    @Test func namesTheFunctionThatFailed() throws {
        let token = try SoftToken.shared()
        let error = caught { () throws(CryptokiError) in _ = try token.module.tokenInfo(SlotID(rawValue: 999_999)) }
        #expect(error == .failed(.getTokenInfo, .slotIDInvalid))
        #expect(error?.description == "C_GetTokenInfo: CKR_SLOT_ID_INVALID (0x3)")
    }

    @Test func refusesLabelsThatDoNotFit() throws {
        let token = try SoftToken.shared()
        let label = String(repeating: "ä", count: 17)
        let error = caught { () throws(CryptokiError) in
            try token.module.initializeToken(SlotID(rawValue: 999_999), soPIN: RawSpan(), label: label)
        }
        #expect(error == .labelTooLong)
    }

    private func loadProblem(_ path: String) -> CryptokiError.LoadProblem? {
        guard
            case .cannotLoad(path: _, let problem, detail: _) = caught({ () throws(CryptokiError) in _ = try Module(path: path) })
        else { return nil }
        return problem
    }
}
