import ClavigerWire

/// The daemon's settings, read once from its file and immutable from then on.
///
/// A value made by ``load(path:)`` or ``parse(_:file:)`` is complete and within every bound: nobody checks again. What depends on the
/// machine (does the path exist, is there such a group, is the URI one that PKCS#11 knows) is for those who use it.
package struct Configuration: Sendable, Equatable {
    /// Where the daemon looks for its file when nobody names one.
    package static let defaultPath = "/etc/claviger/claviger.toml"
    /// The default of `state-directory`.
    package static let defaultStateDirectory = "/var/lib/claviger"
    /// The default of `socket.path`, which clients know as well.
    package static let defaultSocketPath = "/run/claviger/claviger.sock"

    /// Key `state-directory`: the database, its lock and its snapshots live there.
    package internal(set) var stateDirectory = Configuration.defaultStateDirectory
    /// Key `profile`: the token profile whose settings stand under those of the file; nil for none.
    package internal(set) var profile: String?
    /// Table `[module]`.
    package internal(set) var module = Module()
    /// Table `[quirks]`: what the token does not do as others do.
    package internal(set) var quirks = TokenQuirks()
    /// Table `[token]`.
    package internal(set) var token = Token()
    /// Table `[socket]`.
    package internal(set) var socket = Socket()
    /// Table `[quota]`.
    package internal(set) var quota = Quota()
    /// Table `[unlock]`.
    package internal(set) var unlock = Unlock()
    /// Table `[workers]`.
    package internal(set) var workers = Workers()
    /// Table `[requests]`.
    package internal(set) var requests = Requests()
    /// Table `[audit]`.
    package internal(set) var audit = Audit()
    /// Table `[log]`.
    package internal(set) var log = Log()

    /// The PKCS#11 module and what is peculiar to it.
    package struct Module: Sendable, Equatable {
        /// `path`: the shared library, absolute; nil to take it from the URI's `module-path`.
        package internal(set) var path: String?
        /// `initialize-arguments`: the text for C_Initialize's pReserved; nil for none.
        package internal(set) var initializeArguments: String?
        /// `environment`: variables to set before the module is loaded, in ascending order of names.
        package internal(set) var environment: [EnvironmentVariable] = []
        /// `storage-path`: the directory where a file-based token keeps its objects; holders of the token lock there.
        package internal(set) var storagePath: String?
        /// `storage-format`: how those files can be checked and copied; nil when that is not known.
        package internal(set) var storageFormat: StorageFormat?
        /// `software-token`: the PIN can be guessed offline from the token's files, so weak PINs are refused.
        package internal(set) var softwareToken = false
    }

    /// One variable of the module's environment.
    package struct EnvironmentVariable: Sendable, Equatable {
        /// A name of letters, digits and underscores that does not begin with a digit.
        package let name: String
        /// The value, without zero bytes.
        package let value: String
    }

    /// The storage formats of file-based tokens that the daemon knows.
    package enum StorageFormat: String, Sendable, CaseIterable {
        /// A directory a token, a file an object: a generation number, then the attributes by ascending type (`TokenFiles.parses`).
        case attributeFiles = "attribute-files"
    }

    /// Which token, and where its PIN comes from.
    package struct Token: Sendable, Equatable {
        /// `uri`: the PKCS#11 URI (RFC 7512) of the token, without a PIN. Never empty in a loaded configuration.
        package internal(set) var uri = ""
        /// `suite`: of new keys that name none; nil takes the best that the token has.
        package internal(set) var suite: Suite?
        /// Where the PIN comes from; nil when an operator gives it (`claviger unlock`).
        package internal(set) var pin: PINSource?
    }

    /// Where the user PIN comes from.
    package enum PINSource: Sendable, Equatable {
        /// `pin-file`: the absolute path of a file.
        case file(String)
        /// `pin-credential`: the name of a file in systemd's $CREDENTIALS_DIRECTORY.
        case credential(String)
    }

    /// The service socket.
    package struct Socket: Sendable, Equatable {
        /// `path`: absolute, at most 107 bytes. Not used when the service manager hands the socket over.
        package internal(set) var path = Configuration.defaultSocketPath
        /// `group`: who may connect besides the owner; nil leaves the socket's group as it comes.
        package internal(set) var group: GroupName?
        /// `backlog`: connections that wait to be accepted.
        package internal(set) var backlog = 128
        /// `max-connections`: connections open at once; more are refused.
        package internal(set) var maximumConnections = 1024
        /// `require-pidfd`: refuse peers whose process the kernel cannot prove, as kernels before 6.5 cannot.
        package internal(set) var requiresPidfd = false
        /// `admin-path`: the socket for management requests, which `path` then refuses; nil for one socket for everything.
        package internal(set) var adminPath: String?
        /// `admin-group`: who may connect there besides the owner and root; nil for nobody.
        package internal(set) var adminGroup: GroupName?
    }

    /// What one caller may take. A caller is a user, apart by systemd unit.
    package struct Quota: Sendable, Equatable {
        /// `requests-per-second`: on average; nil (0 in the file) for no limit.
        package internal(set) var requestsPerSecond: Int?
        /// `burst`: requests at once before the rate counts; nil (0) for as many as a second brings.
        package internal(set) var burst: Int?
        /// `in-flight`: requests taken and not answered; nil (0) for three quarters of `workers.queue` while others are connected.
        package internal(set) var inFlight: Int?
        /// `connections`: open at once; nil (0) for half of `socket.max-connections`. Root and the daemon's own user are not bound by it.
        package internal(set) var connections: Int?
    }

    /// Who may unlock, besides root.
    package struct Unlock: Sendable, Equatable {
        /// `group`: its members may present the PIN; nil for nobody.
        package internal(set) var group: GroupName?
    }

    /// A group as the file names it. Whether it exists is not known yet.
    package enum GroupName: Sendable, Equatable {
        /// A name to look up.
        case name(String)
        /// A number to take as it is; never 4294967295, which means "no change" to the kernel.
        case number(UInt32)
    }

    /// The threads that talk to the token.
    package struct Workers: Sendable, Equatable {
        /// `count`: how many; nil (0 in the file) for as many as cores and token allow.
        package internal(set) var count: Int?
        /// `queue`: requests that wait for a worker before more are refused `busy`.
        package internal(set) var queue = 256
    }

    /// The limits of single requests.
    package struct Requests: Sendable, Equatable {
        /// `default-deadline-ms`: for requests that state none. At most ``maximumDeadline``.
        package internal(set) var defaultDeadline = Duration.milliseconds(10_000)
        /// `max-deadline-ms`: longer ones are cut to it.
        package internal(set) var maximumDeadline = Duration.milliseconds(60_000)
        /// `idle-frame-timeout-ms`: a frame incomplete or a reply unread for this long closes the connection.
        package internal(set) var idleFrameTimeout = Duration.milliseconds(10_000)
    }

    /// What is logged.
    package struct Log: Sendable, Equatable {
        /// `level`: the least severe messages that are written.
        package internal(set) var level = LogLevel.info
    }

    /// Severities, ascending.
    package enum LogLevel: String, Sendable, CaseIterable {
        /// For those who look for a fault.
        case debug
        /// What the daemon does.
        case info
        /// What an operator may want to know.
        case notice
        /// What an operator should look at.
        case warning
        /// What failed.
        case error
    }

    /// The defaults, with no token chosen: a base for parsing and for tests.
    package init() {}
}
