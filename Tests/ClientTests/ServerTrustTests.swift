import ClavigerClient
import Glibc
import Support
import Testing

/// A PIN goes to nobody but the daemon.
@Suite struct ServerTrustTests {
    /// A stranger who has taken the socket's place hears not one byte.
    @Test func aStrangerIsToldNothing() throws {
        guard geteuid() == 0 else { return skip("aStrangerIsToldNothing", "only root can listen as another user") }
        let folder = try TestFolder()
        // listen(2) is what the kernel records as the peer's identity. Perl is part of every Debian.
        let script = """
            use Socket; $| = 1;
            socket(S, PF_UNIX, SOCK_STREAM, 0) or die; bind(S, sockaddr_un($ARGV[0])) or die;
            $> = 65534; listen(S, 5) or die; print "ready\\n";
            for (1, 2) { accept(C, S) or die; my $n = sysread(C, my $b, 1); print defined $n ? "$n bytes\\n" : "$!\\n"; close C }
            """
        let stranger = try Child(["/usr/bin/perl", "-e", script, folder.socket])
        #expect(stranger.line() == "ready")
        let client = Client(ClientOptions(socketPath: folder.socket))
        let pin = try lockedBytes([0x31])
        do throws(ClientError) {
            _ = try client.unlock(pin: pin)
            Issue.record("the stranger unlocked something")
        } catch {
            #expect(error == .serverNotTrusted(path: folder.socket, uid: 65_534))
        }
        #expect(stranger.line() == "0 bytes")
        // The command line says so too, and fails.
        let file = try folder.write("pin", Array("1234\n".utf8))
        let result = try Child.run([clavigerPath(), "unlock", "--pin-file", file, "--socket", folder.socket])
        #expect(result.status == 1)
        #expect(result.errors.contains("runs as uid 65534"))
        #expect(stranger.line() == "0 bytes")
        #expect(stranger.finish().status == 0)
    }
}
