// system.ts - what the operating system says no with, in words: its codes are not for people.

type Does = "read" | "written";

const reasons: Readonly<Record<string, string>> = {
  EISDIR: "is a folder, not a file",
  ENOTDIR: "has a file where its path wants a folder",
  EEXIST: "exists; name a new one",
  ENOSPC: "is on a disk that is full",
  EDQUOT: "is above what this user may keep on its disk",
  EROFS: "is on a disk that is read-only",
  EMFILE: "is one file too many for this process",
  ENFILE: "is one file too many for this machine",
  ELOOP: "is a link that leads back to itself",
  ENAMETOOLONG: "has a name that is too long",
  EIO: "is on a disk that fails",
};

/** Why a path was refused, as what follows its name: "does not exist". */
export function refusedAs(cause: unknown, does: Does): string {
  const { code = "", message } = cause as { code?: string; message?: string };
  if (code === "EEXIST" && message?.includes("mkdir")) return "is a file, not a folder";
  if (Object.hasOwn(reasons, code)) return reasons[code];
  if (code === "ENOENT") {
    return does === "read" ? "does not exist" : "is in a folder that does not exist; make it first";
  }
  if (code === "EACCES" || code === "EPERM") return `may not be ${does} by this user`;
  return `cannot be ${does}: ${message ?? String(cause)}`;
}
