import Glibc

/// The kinds of token that tests run against, each by its profile in `hsm-config/tokens`.
public enum TokenFamily: Sendable {
    /// SoftHSM: files in the harness's directory.
    case softHSM
    /// NSS softokn: a database in the harness's directory.
    case nss
    /// The soft token of openCryptoki, whose slot daemon runs in namespaces of its own.
    case openCryptoki(OpenCryptokiSlot)

    private static let profiles = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/hsm-config/tokens/"

    /// The value of `token.uri`.
    public var uri: String {
        switch self {
        case .softHSM, .openCryptoki: "pkcs11:token=claviger"
        case .nss: "pkcs11:token=NSS%20Certificate%20DB"
        }
    }

    /// The path of the profile.
    public var profile: String {
        switch self {
        case .softHSM: TokenFamily.profiles + "softhsm.toml"
        case .nss: TokenFamily.profiles + "nss-softokn.toml"
        case .openCryptoki: TokenFamily.profiles + "opencryptoki.toml"
        }
    }

    /// Lines that name the profile, and the table `[module]`, of a configuration whose files lie in `directory`.
    func moduleLines(_ directory: String) -> [String] {
        switch self {
        case .softHSM: ["profile = \"\(profile)\"", "[module]"]
        case .nss:
            [
                "profile = \"\(profile)\"", "[module]",
                "initialize-arguments = \"configdir='sql:\(directory)/nss' certPrefix='' keyPrefix='' secmod='secmod.db' "
                    + "flags=noModDB\"",
            ]
        case .openCryptoki: ["profile = \"\(profile)\"", "[module]"]
        }
    }

    /// What stands in front of a program that uses the token.
    var command: [String] {
        switch self {
        case .softHSM, .nss: []
        case .openCryptoki(let slot): ["/usr/bin/nsenter", "--target", "\(slot.pid)", "--mount", "--ipc", "--"]
        }
    }

    /// NSS softokn, unless it is not installed.
    public static func installedNSS() -> TokenFamily? {
        access("/usr/lib/x86_64-linux-gnu/libsoftokn3.so", R_OK) == 0 ? .nss : nil
    }
}

/// A slot daemon of openCryptoki with a token store of its own: private mounts and System V IPC, gone with the value.
public final class OpenCryptokiSlot: Sendable {
    private let child: Child
    /// The slot daemon's process.
    public let pid: pid_t

    /// Why there can be none here; nil when there can.
    public static var obstacle: String? {
        if access("/usr/sbin/pkcsslotd", X_OK) != 0 { return "opencryptoki is not installed" }
        if geteuid() != 0 { return "only root can give openCryptoki mounts and IPC of its own" }
        return nil
    }

    /// The PIN of the security officer of a token that nobody has set up.
    public static let firstOfficerPIN = "87654321"

    // Everything that openCryptoki writes lies below these; the slot daemon follows as the same process.
    private static let script = """
        set -e
        mount -t tmpfs none /run
        mount -t tmpfs none /dev/shm
        mount -t tmpfs none /var/lib/opencryptoki
        [ ! -d /var/log/opencryptoki ] || mount -t tmpfs none /var/log/opencryptoki
        mkdir -p /run/lock/opencryptoki/swtok /var/lib/opencryptoki/swtok/TOK_OBJ
        chgrp -R pkcs11 /run/lock/opencryptoki /var/lib/opencryptoki
        chmod -R 0770 /run/lock/opencryptoki /var/lib/opencryptoki
        exec /usr/sbin/pkcsslotd -f
        """

    /// Starts the slot daemon and waits until it listens.
    public init(log: String) throws {
        child = try Child.spawn(
            "/usr/bin/unshare", ["--mount", "--ipc", "/bin/sh", "-c", OpenCryptokiSlot.script], output: log, error: log,
            appends: true)
        pid = child.pid
        let socket = "/proc/\(pid)/root/run/pkcsslotd.socket"
        let isThere = eventually { access(socket, F_OK) == 0 || child.statusIfEnded() != nil }
        guard isThere, child.statusIfEnded() == nil else {
            throw HarnessError("pkcsslotd does not start: \(String(decoding: (try? readFile(log)) ?? [], as: UTF8.self))")
        }
    }

    deinit { child.end(SIGKILL) }
}
