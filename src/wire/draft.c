/* draft - fields whose values have any type and encoding. */
#include "draft.h"

#include <math.h>
#include "moment.h"

/* Millionths, half away from zero. Small values are scaled as they are, which rounds away what
 * binary fractions add to decimal ones (1.0000005); large ones in two parts, since their millionths
 * need more bits than a double has. */
static void set_value(double value, struct tide_event *ev, struct tide_draft *draft)
{
    int64_t whole;

    if (!(__builtin_fabs(value) < TIDE_METRIC_MAX)) {
        draft->bad_metric++;
        return;
    }
    whole = __builtin_fabs(value) < 0x1p33 ? 0 : (int64_t)value;
    ev->value = whole * TIDE_METRIC_SCALE + llround((value - (double)whole) * TIDE_METRIC_SCALE);
    draft->has_value = true;
}

static struct tide_text *id_of(unsigned field, struct tide_event *ev)
{
    return field == TIDE_FIELD_CORRELATION ? &ev->correlation
           : field == TIDE_FIELD_INSTANCE  ? &ev->instance
                                           : &ev->event_id;
}

/* Anything but an empty text or false says that there was an error, even when it is no text that
 * could be kept. */
static void set_error(const struct tide_value *value, struct tide_event *ev)
{
    if (tide_value_is_text(value))
        ev->error = tide_value_text(value);
    else if (value->type == TIDE_BOOL && !value->truth)
        ev->error = (struct tide_text){NULL, 0};
    else
        ev->error = (struct tide_text){"error", 5};
}

void tide_draft_set(unsigned field, const struct tide_value *value, bool bare,
                    struct tide_event *ev, struct tide_draft *draft)
{
    struct tide_number number;

    switch (field) {
    case TIDE_FIELD_MODULE:
        if (tide_value_is_text(value))
            tide_draft_module(tide_value_text(value), ev, draft);
        else
            tide_draft_reject(draft, TIDE_ENTRY_BAD_MODULE_ID);
        break;
    case TIDE_FIELD_EVENT:
        if (tide_value_is_text(value))
            tide_draft_kind(tide_value_text(value), 0, draft);
        else
            tide_draft_reject(draft, TIDE_ENTRY_BAD_EVENT);
        break;
    case TIDE_FIELD_TIMESTAMP:
        if (bare && !tide_moment_read_field(value, &ev->time_us))
            tide_draft_reject(draft, TIDE_ENTRY_BAD_TIME);
        break;
    case TIDE_FIELD_SUCCESS:
        if (value->type == TIDE_BOOL)
            tide_draft_success(value->truth, draft);
        else
            tide_draft_reject(draft, TIDE_ENTRY_BAD_SUCCESS);
        break;
    case TIDE_FIELD_DURATION:
        if (tide_number_read(value, &number))
            tide_draft_duration(number.real * 1000, ev, draft);
        else
            tide_draft_reject(draft, TIDE_ENTRY_BAD_DURATION);
        break;
    case TIDE_FIELD_STATUS:
        if (tide_number_read(value, &number))
            tide_draft_status(&number, draft);
        else
            tide_draft_reject(draft, TIDE_ENTRY_BAD_STATUS);
        break;
    case TIDE_FIELD_ERROR:
        set_error(value, ev);
        break;
    case TIDE_FIELD_HEALTHY:
        if (value->type == TIDE_BOOL) {
            ev->healthy = value->truth;
            ev->has_healthy = true;
        } else {
            draft->bad_fields++;
        }
        break;
    case TIDE_FIELD_CORRELATION:
    case TIDE_FIELD_INSTANCE:
    case TIDE_FIELD_EVENT_ID:
        if (tide_value_is_text(value))
            tide_draft_id(tide_value_text(value), id_of(field, ev));
        else
            draft->bad_fields++;
        break;
    case TIDE_FIELD_SAMPLE_RATE:
        if (tide_number_read(value, &number) && number.real >= TIDE_SAMPLE_RATE_MIN &&
            number.real <= 1)
            draft->sample_rate = number.real;
        else
            tide_draft_reject(draft, TIDE_ENTRY_BAD_SAMPLE_RATE);
        break;
    case TIDE_FIELD_NAME:
        if (tide_value_is_text(value) && tide_text_is_name((const char *)value->data, value->len))
            ev->metric = tide_value_text(value);
        else
            draft->bad_metric++;
        break;
    case TIDE_FIELD_VALUE:
        if (tide_number_read(value, &number))
            set_value(number.real, ev, draft);
        else
            draft->bad_metric++;
        break;
    default:
        if (tide_number_read(value, &number))
            tide_draft_gauge(&number, (enum tide_gauge)(field - TIDE_FIELD_GAUGE),
                             tide_gauge_info[field - TIDE_FIELD_GAUGE].scale, ev, draft);
        else
            draft->bad_fields++;
        break;
    }
}
