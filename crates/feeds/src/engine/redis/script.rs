//! Steps that Redis takes as one. Each is a small Lua program that names all its keys, which lie in one bucket,
//! or on one server that is no cluster.
//!
//! Scripts that write carry a deadline in the server's own time as their first argument and do nothing after it. So what a frozen or
//! cut-off server still finds in its buffers, after the caller gave up and did something newer, changes nothing.
//!
//! Entries are compared as four numbers of 32 bits: Lua's own comparison of texts follows the server's locale.

use std::sync::LazyLock;

use sha1::{Digest as _, Sha1};

/// A script, with its hash.
pub(super) struct Named {
    pub(super) name: &'static str,
    /// The program, in parts.
    pub(super) code: &'static [&'static str],
    /// What Redis knows it by once it is loaded.
    pub(super) hash: LazyLock<String>,
}

fn hash(code: &[&str]) -> String {
    model::text::hex(&Sha1::digest(code.concat()))
}

const FENCE: &str = "
local now = redis.call('TIME')
if now[1] * 1000 + now[2] / 1000 > tonumber(ARGV[1]) then return redis.error_reply('STALE it came too late') end
";

/// Drops a feed because there may be more to see than it holds; a feed that is being built is refused.
const WIDEN: &str = "
local function widen(home, missed, refuse)
  local left = redis.call('PTTL', missed)
  redis.call('DEL', home)
  if left > 0 then redis.call('SET', refuse, 1, 'PX', left) end
end
";

const NEWER: &str = "
local function newer(a, b)
  local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', a)
  local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', b)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  if a3 ~= b3 then return a3 > b3 end
  return a4 > b4
end
";

/// Cuts a list to its newest entries and notes where it ends. Sorts only around the cut: entries above it stay where they are.
const TRIM: &str = "
local function trim(key, max)
  local tail = redis.call('LINDEX', key, -1)
  local state, floor = 'R', nil
  if #tail ~= 16 then
    state = tail:sub(1, 1)
    if #tail == 17 then floor = tail:sub(2) end
  end
  local from = math.max(0, max - 16)
  local entries = redis.call('LRANGE', key, from, -1)
  if #tail ~= 16 then entries[#entries] = nil end
  table.sort(entries, newer)
  local kept, last = {}, nil
  for _, entry in ipairs(entries) do
    if entry ~= last and not (floor and newer(floor, entry)) then
      if #kept == max - from then floor = last break end
      kept[#kept + 1] = entry
      last = entry
    end
  end
  local ttl = redis.call('PTTL', key)
  if from == 0 then redis.call('DEL', key) else redis.call('LTRIM', key, 0, from - 1) end
  for _, entry in ipairs(kept) do redis.call('RPUSH', key, entry) end
  redis.call('RPUSH', key, state .. (floor or ''))
  if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
end
";

const INSERTION: &str = "
local function insert(key, entry, limit, cut, only_there)
  local length = redis.call('LLEN', key)
  if length == 0 then
    if only_there then return 0 end
    redis.call('RPUSH', key, entry)
    return 1
  end
  local tail = redis.call('LINDEX', key, -1)
  local count = length
  if #tail ~= 16 then
    count = length - 1
    if #tail == 17 and newer(tail:sub(2), entry) then return 0 end
  end
  local low, high = 0, count
  while low < high do
    local middle = math.floor((low + high) / 2)
    if newer(redis.call('LINDEX', key, middle), entry) then low = middle + 1 else high = middle end
  end
  local pivot = low < count and redis.call('LINDEX', key, low)
  if pivot == entry then return 0 end
  if pivot then
    redis.call('LINSERT', key, 'BEFORE', pivot, entry)
  elseif count == length then
    redis.call('RPUSH', key, entry)
  else
    redis.call('LSET', key, -1, entry)
    redis.call('RPUSH', key, tail)
  end
  if length + 1 > cut then trim(key, limit) end
  return 1
end
";

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident, $word:literal, [$($part:expr),*];)*) => {
        $($(#[$doc])* pub(super) static $name: Named =
            Named { name: $word, code: &[$($part),*], hash: LazyLock::new(|| hash(&[$($part),*])) };)*
        /// All of them, to be loaded into a server.
        pub(super) static ALL: &[&Named] = &[$(&$name),*];
    };
}

scripts! {
    /// Sets or removes what a person follows; drops the feed when it was not so before. Keys: follows, home, missed, refuse.
    /// Arguments: member, time, on.
    FOLLOW, "follow", [FENCE, WIDEN, "
        if ARGV[4] == '0' then return redis.call('ZREM', KEYS[1], ARGV[2]) end
        local was = redis.call('ZSCORE', KEYS[1], ARGV[2])
        if was and tonumber(was) == tonumber(ARGV[3]) then return 0 end
        redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
        widen(KEYS[2], KEYS[3], KEYS[4])
        return 1
    "];
    /// Sets or removes the other end of a follow. Key: followers. Arguments: member, time, on. Answers how many there are.
    FOLLOWER, "follower", [FENCE, "
        if ARGV[4] == '0' then redis.call('ZREM', KEYS[1], ARGV[2]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2]) end
        return redis.call('ZCARD', KEYS[1])
    "];
    /// Adds to or removes from a set. Key: set. Arguments: member, on.
    MEMBER, "member", [FENCE, "
        if ARGV[3] == '0' then return redis.call('SREM', KEYS[1], ARGV[2]) end
        return redis.call('SADD', KEYS[1], ARGV[2])
    "];
    /// The same in a person's own bucket; removing drops the feed. Keys: set, home, missed, refuse. Arguments: member, on.
    HIDE, "hide", [FENCE, WIDEN, "
        if ARGV[3] == '1' then return redis.call('SADD', KEYS[1], ARGV[2]) end
        redis.call('SREM', KEYS[1], ARGV[2])
        widen(KEYS[2], KEYS[3], KEYS[4])
        return 1
    "];
    /// Drops a feed. Keys: home, missed, refuse.
    WIDEN_FEED, "widen", [FENCE, WIDEN, "widen(KEYS[1], KEYS[2], KEYS[3]) return 1"];
    /// Writes a value that expires. Key: value. Arguments: bytes, milliseconds.
    PUT, "put", [FENCE, "return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])"];
    /// Removes keys.
    REMOVE, "remove", [FENCE, "return redis.call('DEL', unpack(KEYS))"];
    /// Learns of pins that a built feed holds, unless what is known is newer. Keys: pins. Arguments: milliseconds to keep, now, how
    /// long a retraction counts, bytes of each pin. Answers what is known of each then.
    LEARN, "learn", [FENCE, "
        local keep, now, counts = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
        local learnt = {}
        for place, key in ipairs(KEYS) do
          local known = redis.call('GET', key)
          local kind = known and known:sub(1, 1)
          if kind == 'P' or (kind == 'X' and now - struct.unpack('>I8', known:sub(2)) < counts) then
            redis.call('PEXPIRE', key, keep)
          else
            known = ARGV[4 + place]
            redis.call('SET', key, known, 'PX', keep)
          end
          learnt[place] = known
        end
        return learnt
    "];
    /// Notes that a board has pins and answers its facts. Key: board.
    PINNED, "pinned", [FENCE, "
        local facts = redis.call('GET', KEYS[1])
        if not facts then redis.call('SET', KEYS[1], string.char(4)) return string.char(4) end
        local flags = facts:byte(1)
        if flags % 8 < 4 then redis.call('SETRANGE', KEYS[1], 0, string.char(flags + 4)) end
        return facts
    "];
    /// Sets a board's facts. Key: board. Arguments: owner, listed. Answers whether its pins may show where they did not, and who
    /// owned it; that stays noted until `SETTLED`.
    BOARD, "board", [FENCE, "
        local facts = redis.call('GET', KEYS[1])
        local listed = ARGV[3] == '1'
        local flags, owner = 0, ''
        if facts then flags, owner = facts:byte(1), facts:sub(2) end
        local known, was_listed, pinned, widening = flags % 2 == 1, flags % 4 >= 2, flags % 8 >= 4, flags >= 8
        local more
        if known then more = listed and (not was_listed or owner ~= ARGV[2]) else more = listed and pinned end
        more = more or (listed and widening)
        redis.call('SET', KEYS[1], string.char(1 + (listed and 2 or 0) + (pinned and 4 or 0) + (more and 8 or 0)) .. ARGV[2])
        return {more and 1 or 0, known and owner or ''}
    "];
    /// Notes that all feeds to which a board shows more were dropped. Key: board. Argument: facts' owner.
    SETTLED, "settled", [FENCE, "
        local facts = redis.call('GET', KEYS[1])
        if facts and facts:sub(2) == ARGV[2] and facts:byte(1) >= 8 then
          redis.call('SETRANGE', KEYS[1], 0, string.char(facts:byte(1) - 8))
        end
        return 1
    "];
    /// Pushes an entry to lists that lie together, and cuts those that have grown long. Keys: lists. Arguments: entry, limit, length at
    /// which a list is cut, LPUSHX to push only to lists that are there or LPUSH. Answers to how many.
    PUSH, "push", [FENCE, NEWER, TRIM, "
        local pushed, limit, cut = 0, tonumber(ARGV[3]), tonumber(ARGV[4])
        for _, key in ipairs(KEYS) do
          local length = redis.call(ARGV[5], key, ARGV[2])
          if length > 0 then pushed = pushed + 1 end
          if length > cut then trim(key, limit) end
        end
        return pushed
    "];
    /// Puts an entry where it belongs in lists that lie together, once. Keys and arguments as those of `PUSH`.
    INSERT, "insert", [FENCE, NEWER, TRIM, INSERTION, "
        local inserted, limit, cut = 0, tonumber(ARGV[3]), tonumber(ARGV[4])
        for _, key in ipairs(KEYS) do inserted = inserted + insert(key, ARGV[2], limit, cut, ARGV[5] == 'LPUSHX') end
        return inserted
    "];
    /// Begins to collect for a feed that is being built. Keys: home, missed. Argument: milliseconds.
    BEGIN, "begin", [FENCE, "
        redis.call('SET', KEYS[2], 1, 'PX', ARGV[2])
        local tail = redis.call('LINDEX', KEYS[1], -1)
        if not tail then redis.call('RPUSH', KEYS[1], 'B') end
        if not tail or tail:sub(1, 1) == 'B' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return 1
    "];
    /// Installs a built feed over what was collected. Keys: home, refuse. Arguments: milliseconds to keep, limit, floor or nothing,
    /// entries from the newest down. Answers 1, or 0 when it is not taken, or -1 when it is refused.
    FILL, "fill", [FENCE, NEWER, "
        local tail = redis.call('LINDEX', KEYS[1], -1)
        if not tail or tail:sub(1, 1) ~= 'B' then return 0 end
        if redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
        local floor = #tail == 17 and tail:sub(2) or nil
        if #ARGV[4] == 16 and not (floor and newer(floor, ARGV[4])) then floor = ARGV[4] end
        local collected = redis.call('LRANGE', KEYS[1], 0, -2)
        table.sort(collected, newer)
        local entries, last, next, max = {}, nil, 1, tonumber(ARGV[3])
        local function put(entry)
          if entry ~= last and not (floor and newer(floor, entry)) then
            if #entries == max then floor = last return false end
            entries[#entries + 1] = entry
            last = entry
          end
          return true
        end
        local is_full = false
        for at = 1, #ARGV[5], 16 do
          local entry = ARGV[5]:sub(at, at + 15)
          while not is_full and collected[next] and not newer(entry, collected[next]) do
            is_full = not put(collected[next])
            next = next + 1
          end
          if is_full or not put(entry) then is_full = true break end
        end
        while not is_full and collected[next] do
          is_full = not put(collected[next])
          next = next + 1
        end
        redis.call('DEL', KEYS[1])
        for at = 1, #entries, 500 do redis.call('RPUSH', KEYS[1], unpack(entries, at, math.min(at + 499, #entries))) end
        redis.call('RPUSH', KEYS[1], 'R' .. (floor or ''))
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return 1
    "];
    /// Reads from where a list's entries are not newer than an instant. Key: list. Arguments: instant, count. Answers the index of
    /// the first, what stands last, and entries.
    PAGE, "page", ["
        local length = redis.call('LLEN', KEYS[1])
        if length == 0 then return {0, false} end
        local bound = tonumber(ARGV[2])
        local tail = redis.call('LINDEX', KEYS[1], -1)
        local low, high = 0, #tail == 16 and length or length - 1
        while low < high do
          local middle = math.floor((low + high) / 2)
          if struct.unpack('>I8', redis.call('LINDEX', KEYS[1], middle)) > bound then low = middle + 1 else high = middle end
        end
        local answer = redis.call('LRANGE', KEYS[1], low, low + ARGV[3] - 1)
        table.insert(answer, 1, tail)
        table.insert(answer, 1, low)
        return answer
    "];
    /// Reads a page of edges older than a cursor. Key: sorted set. Arguments: time, member, limit. Answers members and times.
    EDGES, "edges", ["
        local function after(index)
          local edge = redis.call('ZREVRANGE', KEYS[1], index, index, 'WITHSCORES')
          local time, cursor = tonumber(edge[2]), tonumber(ARGV[2])
          if time ~= cursor then return time < cursor end
          local a1, a2 = struct.unpack('>I4I4', edge[1])
          local b1, b2 = struct.unpack('>I4I4', ARGV[3])
          if a1 ~= b1 then return a1 < b1 end
          return a2 < b2
        end
        local low, high = 0, redis.call('ZCARD', KEYS[1])
        while low < high do
          local middle = math.floor((low + high) / 2)
          if after(middle) then high = middle else low = middle + 1 end
        end
        return redis.call('ZREVRANGE', KEYS[1], low, low + ARGV[4] - 1, 'WITHSCORES')
    "];
    /// Writes a bucket's marker if it is still the one that was seen. Key: marker. Arguments: seen, new.
    MARK, "mark", [FENCE, "
        if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 0 end
        redis.call('SET', KEYS[1], ARGV[3])
        return 1
    "];
}
