"""What the describing calls of several services have in common: filters, pages, tags."""
import fnmatch

from wire import Refusal


def page(items, params, size, limit="MaxRecords", token="NextToken", refusal="InvalidNextToken"):
    """(the items that this call is given, the token for the rest or None). `size`: where the caller names none."""
    first = 0
    if params.get(token):
        kind, _, number = params[token].partition("-")
        if kind != "from" or not number.isdigit():
            raise Refusal(refusal, f"The token '{params[token]}' is invalid.")
        first = int(number)
    last = first + (params.get(limit) or size)
    return items[first:last], f"from-{last}" if last < len(items) else None


def paged(name, items, params, size, limit="MaxRecords", token="NextToken", refusal="InvalidNextToken", answer=None):
    """An answer with one page of `items` under `name`."""
    found, rest = page(items, params, size, limit, token, refusal)
    return {name: found} | ({answer or token: rest} if rest else {})


def filtered(items, filters, readers, refusal="InvalidParameterValue"):
    """The items that pass all filters. `readers`: name of a filter -> the values that an item has for it. Values may
    hold * and ?; those of one filter are alternatives."""
    for one in filters:
        name = one["Name"]
        if name.startswith("tag:"):
            key = name[4:]
            read = lambda item, key=key: [tag["Value"] for tag in item.get("Tags", []) if tag["Key"] == key]
        elif name in readers:
            read = readers[name]
        else:
            raise Refusal(refusal, f"The filter '{name}' is invalid")
        items = [item for item in items if _fits(read(item), one.get("Values", []))]
    return items


def _fits(values, patterns):
    return any(fnmatch.fnmatchcase(str(value), pattern) for value in values for pattern in patterns)


def field(name):
    """A filter's reader: the field of that name, where it is there."""
    return lambda item: [item[name]] if item.get(name) is not None else []


def tag_list(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_map(tags):
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def tag_keys(item):
    return [tag["Key"] for tag in item.get("Tags", [])]
