import ClavigerCore
import Cryptoki
import Glibc

/// The token in the hands of an admin command: locks held, module loaded and initialised. Nobody else is at work meanwhile.
struct TokenAccess: ~Copyable {
    let configuration: Configuration
    let module: Module
    let uri: TokenURI
    let files: TokenFiles?
    /// Token files that were empty or damaged and have been put back.
    let restored: [String]
    private let stateLock: HolderLock
    private let storageLock: HolderLock?

    /// Takes the locks and the module.
    ///
    /// - Parameters:
    ///   - holder: how to name this process to who comes second.
    ///   - prepare: what is to be done to the token's files once the locks are held, before the module looks at them.
    init(
        _ configuration: Configuration, holder: String,
        prepare: (TokenFiles) throws(AdminError) -> Void = { _ throws(AdminError) in }
    ) throws(AdminError) {
        let uri = try explain(AdminError.cryptoki) { () throws(CryptokiError) in try TokenURI(configuration.token.uri) }
        guard let path = configuration.module.path ?? uri.modulePath else {
            throw .setUp(TokenService.SetUpError.noModule.description)
        }
        let directory = configuration.stateDirectory
        for place in [directory, configuration.module.storagePath].compactMap({ $0 }) {
            try TokenAccess.requireOwner(place, holder)
        }
        let stateLock = try explain(AdminError.lock) { () throws(HolderLock.Failure) in
            try HolderLock(path: directory + "/" + TokenService.stateLockName, holder: holder)
        }
        var storageLock: HolderLock?
        var files: TokenFiles?
        if let storage = configuration.module.storagePath {
            storageLock = try explain(AdminError.lock) { () throws(HolderLock.Failure) in
                try HolderLock(path: storage + "/" + TokenService.storageLockName, holder: holder)
            }
            if configuration.module.storageFormat != nil { files = TokenFiles(storage: storage, stateDirectory: directory) }
        }
        if let files { try prepare(files) }
        let restored = try explain(AdminError.file) { () throws(FileError) in try files?.restore() ?? [] }
        let module = try explain(AdminError.cryptoki) { () throws(CryptokiError) in
            let module = try Module(path: path)
            try module.initialize(reserved: configuration.module.initializeArguments)
            return module
        }
        self.configuration = configuration
        self.uri = uri
        self.module = module
        self.files = files
        self.restored = restored
        self.stateLock = stateLock
        self.storageLock = storageLock
    }

    /// Refuses to leave files in another user's directory that this user, the daemon's, could not use afterwards.
    ///
    /// - Parameter command: what is to be run as that user instead.
    static func requireOwner(_ directory: String, _ command: String) throws(AdminError) {
        guard let status = Files.status(directory), status.st_uid != geteuid() else { return }
        let owner = getpwuid(status.st_uid).map { String(cString: $0.pointee.pw_name) } ?? "\(status.st_uid)"
        throw .setUp(
            "\(directory) belongs to \(owner), and the daemon could not use what another user makes there: run it as "
                + "\(owner), as in 'runuser -u \(owner) -- \(command)'")
    }

    deinit { try? module.finalize() }
}
