/// The instance's settings: delays, windows and bounds of the key lifecycle. Numbers only; what holds text or secrets is configuration.
public enum InstanceSetting: String, CaseIterable, Sendable {
    case enableDelay = "enable-delay"
    case restoreDelay = "restore-delay"
    case purgeDelay = "purge-delay"
    case restoreWindow = "restore-window"
    case autoPurge = "auto-purge"
    case approvalWindow = "approval-window"
    case rotationIntervalMinimum = "rotation-interval-minimum"
    case maximumRings = "maximum-rings"
    case maximumAliases = "maximum-aliases"
    case maximumTags = "maximum-tags"

    /// The setting's name, stable, for documents, commands and logs.
    public var name: String { rawValue }

    /// Whether a lower value has the daemon end material sooner, of keys that are deleted and versions that are retired.
    public var endsMaterial: Bool {
        switch self {
        case .purgeDelay, .restoreWindow, .autoPurge: true
        case .enableDelay, .restoreDelay, .approvalWindow, .rotationIntervalMinimum, .maximumRings, .maximumAliases, .maximumTags:
            false
        }
    }

    /// Everything that is fixed about the setting.
    public var entry: SettingEntry {
        switch self {
        case .enableDelay:
            SettingEntry(30, SettingEntry.delays, .seconds, "How long a disabled key stays so at least before it can be enabled.")
        case .restoreDelay:
            SettingEntry(30, SettingEntry.delays, .seconds, "How long a deleted key stays so at least before it can be restored.")
        case .purgeDelay:
            SettingEntry(
                4 * 3_600, SettingEntry.delays, .seconds,
                "How long after a key was deleted, or a version retired, its material is kept at least. Fixed for each key when it is "
                    + "deleted.")
        case .restoreWindow:
            SettingEntry(
                30 * SettingEntry.day, SettingEntry.windows, .seconds,
                "For how long a deleted key can be restored; then its material is wiped. Fixed for each key when it is deleted.")
        case .autoPurge:
            SettingEntry(
                90 * SettingEntry.day, SettingEntry.windows, .seconds,
                "How long after its deletion a key is purged by the daemon. Never less than restore-window; fixed for each key when "
                    + "it is deleted.")
        case .approvalWindow:
            SettingEntry(
                7 * SettingEntry.day, SettingEntry.windows, .seconds, "For how long a request waits for a second person.")
        case .rotationIntervalMinimum:
            SettingEntry(
                3_600, SettingEntry.delays, .seconds,
                "How long after a rotation the next is refused, unless it is an emergency with a reason.")
        case .maximumRings: SettingEntry(50, 0...10_000, .count, "How many key rings there may be beside 'default'.")
        case .maximumAliases: SettingEntry(5, 0...UInt64(Limits.maximumAliases), .count, "How many aliases one key may have.")
        case .maximumTags: SettingEntry(30, 0...UInt64(Limits.maximumTags), .count, "How many tags one key may have.")
        }
    }

    /// A value of the setting in the unit of its entry.
    ///
    /// - Returns: nil when it is outside the setting's range.
    public func checked(_ value: UInt64) -> UInt64? { entry.range.contains(value) ? value : nil }
}

/// What is fixed about a setting.
public struct SettingEntry: Sendable {
    /// What holds until somebody sets it.
    public let standard: UInt64
    /// The values that it may have.
    public let range: ClosedRange<UInt64>
    /// What the value counts.
    public let unit: SettingUnit
    /// One sentence for people.
    public let meaning: String

    static let day: UInt64 = 86_400
    /// A delay protects from haste; more than a month would lock people out of what they own.
    static let delays: ClosedRange<UInt64> = 0...30 * day
    /// A window of no time could never be used, and ten years are longer than anybody plans.
    static let windows: ClosedRange<UInt64> = 1...3_650 * day

    init(_ standard: UInt64, _ range: ClosedRange<UInt64>, _ unit: SettingUnit, _ meaning: String) {
        self.standard = standard
        self.range = range
        self.unit = unit
        self.meaning = meaning
    }
}

/// What a setting's value counts.
public enum SettingUnit: String, CaseIterable, Sendable {
    case seconds
    case count
}

/// The values of all settings at one moment.
public struct SettingValues: Equatable, Sendable {
    private var set: [InstanceSetting: UInt64] = [:]

    /// The values that hold until somebody sets others.
    public init() {}

    /// The value of a setting, in the unit of its entry.
    public subscript(setting: InstanceSetting) -> UInt64 {
        get { set[setting] ?? setting.entry.standard }
        set { set[setting] = newValue }
    }

    /// The value of a setting that counts seconds, in milliseconds.
    public func milliseconds(_ setting: InstanceSetting) -> UInt64 { self[setting] * 1_000 }
}

/// The months of rotation policies.
public enum RotationMonths {
    /// A month is 30 days, whatever the calendar says, as in Key Protect.
    public static let month: UInt64 = 30 * 86_400_000
    /// The longest interval: 12 months.
    public static let maximum: UInt32 = 12
}
